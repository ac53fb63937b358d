//! File mode of the official client: a stage that looks like S3, and files of encrypted, compressed rows.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::body;
use crate::engine::SchemaName;
use crate::error::ApiError;
use crate::server::App;
use crate::streaming::channel::Batch;
use crate::streaming::{BinaryFormat, pipe};

/// Bytes of files that wait for their registration: a client uploads, then registers at once.
pub(super) const STAGE_BYTES_MAX: usize = 512 << 20;

/// A file that nobody registered is forgotten after this.
const STAGE_FILE_LIFE: Duration = Duration::from_secs(600);

/// A registered file stays this long when room is needed: a registration may be retried.
const REGISTERED_FILE_LIFE: Duration = Duration::from_secs(5);

/// Rows of one registration after decompression; the official client aims at 16 MB compressed.
const FRAGMENTS_PLAIN_BYTES_MAX: usize = 512 << 20;

/// The bucket's name in URLs.
const BUCKET: &str = "emulator-stage";

/// The stage: files by their key, in memory.
pub struct FileStore {
    /// AES-256 key that all pipes give to clients.
    pipe_key: [u8; 32],
    binary: BinaryFormat,
    files: Mutex<HashMap<String, Staged>>,
}

/// A file on the stage.
struct Staged {
    uploaded: Instant,
    bytes: Bytes,
    /// Some fragment of it was registered: it may go when room is needed.
    registered: bool,
}

/// One slice of an uploaded file, as the client registers it.
#[derive(Debug, Deserialize)]
pub(crate) struct Fragment {
    file_path: String,
    #[serde(default)]
    fragment_start_byte_offset: usize,
    fragment_length_bytes: usize,
    #[serde(default)]
    fragment_start_offset_token: Option<String>,
    #[serde(default)]
    fragment_end_offset_token: Option<String>,
    iv_base64: String,
}

impl FileStore {
    /// An empty stage; `secret` is the source of the pipe key, so that files survive a restart of the client only with it.
    pub fn new(secret: &[u8], binary: BinaryFormat) -> FileStore {
        use sha2::Digest as _;
        let mut digest = sha2::Sha256::new();
        digest.update(b"pipe key");
        digest.update(secret);
        FileStore { pipe_key: digest.finalize().into(), binary, files: Mutex::new(HashMap::new()) }
    }

    /// What a client asks before it opens channels: where files go, and how they are encrypted.
    pub(crate) async fn pipe_info(
        &self,
        app: &App,
        headers: &HeaderMap,
        schema: &SchemaName,
        pipe: &str,
    ) -> Result<Value, ApiError> {
        let target = pipe::resolve(&app.engine, schema, pipe).await?;
        // the port of the listener at which the client arrived
        let endpoint =
            headers.get("host").and_then(|value| value.to_str().ok()).unwrap_or("localhost").to_owned();
        let prefix = format!("stage/{}/", target.oid);
        let expiry = crate::streaming::committer::unix_ms() + 3_600_000;
        let location = json!({
            "expiry_time_ms": expiry,
            "location": format!("{BUCKET}/{prefix}"),
            "location_type": "S3",
            "use_s3_regional_url": false,
            "use_fips": false,
            "region": "us-east-1",
            "storage_account": null,
            "storage_endpoint": endpoint,
            "bucket_name": BUCKET,
            "path_prefix": prefix,
            "creds": {"AWS_KEY_ID": "EMULATOR", "AWS_SECRET_KEY": "EMULATOR", "AWS_TOKEN": "EMULATOR"},
            "parameters": {
                "max_client_lag_seconds": 1,
                "rowset_flush_threshold_kb": 1024,
                "max_buffered_kb_for_rowset_mode": 4096,
                "rowset_threshold_lookback_seconds": 10,
                "rowset_threshold_ewma_weight": 50,
                "target_file_size_compressed_mb": 16,
                "cpu_throttle_high_watermark_percent": 95,
                "cpu_throttle_low_watermark_percent": 80,
                "mem_throttle_high_watermark_percent": 95,
                "mem_throttle_low_watermark_percent": 80,
            },
        });
        let binary = match self.binary {
            BinaryFormat::Hex => "HEX",
            BinaryFormat::Base64 => "BASE64",
            BinaryFormat::Utf8 => "UTF-8",
        };
        Ok(json!({
            "rowset_stage_location": location,
            "durable_stage_location": location,
            "encryption_info": {
                "pipe_key": STANDARD.encode(self.pipe_key),
                "pipe_key_id": 1,
                "diversifier": STANDARD.encode([0_u8; 16]),
            },
            "parameter_overrides": {"max_append_request_buffer_duration_ms": null, "binary_input_format": binary},
        }))
    }

    /// Takes an upload.
    ///
    /// # Errors
    /// 503 `SlowDown` when the stage is full.
    pub(crate) fn put(&self, key: &str, file: Bytes) -> Result<(), ApiError> {
        let mut files = self.files();
        files.retain(|_, staged| staged.uploaded.elapsed() < STAGE_FILE_LIFE);
        let size =
            |files: &HashMap<String, Staged>| files.values().map(|staged| staged.bytes.len()).sum::<usize>();
        let mut held = size(&files);
        if held + file.len() > STAGE_BYTES_MAX {
            files.retain(|_, staged| !staged.registered || staged.uploaded.elapsed() < REGISTERED_FILE_LIFE);
            held = size(&files);
        }
        if held + file.len() > STAGE_BYTES_MAX {
            return Err(ApiError::new(
                503,
                "SlowDown",
                format!("the stage holds {held} bytes that are not registered"),
            ));
        }
        files.insert(key.to_owned(), Staged { uploaded: Instant::now(), bytes: file, registered: false });
        Ok(())
    }

    /// Decrypts and decompresses registered fragments into one batch.
    pub(crate) async fn read_fragments(
        &self,
        fragments: Vec<Fragment>,
        now: Duration,
    ) -> Result<Batch, ApiError> {
        let start_token = fragments.first().and_then(|fragment| fragment.fragment_start_offset_token.clone());
        let end_token =
            fragments.iter().rev().find_map(|fragment| fragment.fragment_end_offset_token.clone());
        let mut sealed = Vec::with_capacity(fragments.len());
        for fragment in fragments {
            let slice = self.slice(&fragment)?;
            sealed.push((fragment, slice));
        }
        let key = self.pipe_key;
        let body = tokio::task::spawn_blocking(move || {
            let mut body = BytesMut::new();
            for (fragment, slice) in sealed {
                let left = FRAGMENTS_PLAIN_BYTES_MAX.saturating_sub(body.len());
                body.extend_from_slice(&unseal(&key, &fragment, &slice, left)?);
                body.extend_from_slice(b"\n");
            }
            Ok::<Bytes, ApiError>(body.freeze())
        });
        let body = body.await.map_err(|error| {
            ApiError::new(500, "ERR_GENERAL_EXCEPTION_RETRY_REQUEST", format!("reading files: {error}"))
        })??;
        Ok(Batch { body, start_token, end_token, accepted_at: now })
    }

    fn slice(&self, fragment: &Fragment) -> Result<Bytes, ApiError> {
        let mut files = self.files();
        let missing = || {
            ApiError::new(
                400,
                "ERR_FILE_DOES_NOT_EXIST",
                format!("file {} is not on the stage", fragment.file_path),
            )
        };
        let path = fragment.file_path.trim_start_matches('/');
        let wanted = path.strip_prefix(BUCKET).map_or(path, |rest| rest.trim_start_matches('/'));
        let staged = files.get_mut(wanted).ok_or_else(missing)?;
        staged.registered = true;
        let file = &staged.bytes;
        let end = fragment.fragment_start_byte_offset.saturating_add(fragment.fragment_length_bytes);
        if end > file.len() || fragment.fragment_start_byte_offset > end {
            let message = format!("file {} has {} bytes, the fragment ends at {end}", wanted, file.len());
            return Err(ApiError::new(400, "ERR_FILE_IS_CUT", message));
        }
        Ok(file.slice(fragment.fragment_start_byte_offset..end))
    }

    fn files(&self) -> MutexGuard<'_, HashMap<String, Staged>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// AES-256-CTR, then zstd.
fn unseal(key: &[u8; 32], fragment: &Fragment, sealed: &[u8], plain_max: usize) -> Result<Bytes, ApiError> {
    let bad = |what: &str| {
        ApiError::new(400, "ERR_FILE_DOES_NOT_DECRYPT", format!("file {}: {what}", fragment.file_path))
    };
    let iv = STANDARD.decode(fragment.iv_base64.as_bytes()).map_err(|_| bad("iv_base64 is not base64"))?;
    let iv: [u8; 16] = iv.try_into().map_err(|_| bad("the IV does not have 16 bytes"))?;
    let key = UnboundCipherKey::new(&AES_256, key).map_err(|_| bad("the key does not fit"))?;
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let cipher = DecryptingKey::ctr(key).map_err(|_| bad("the cipher does not start"))?;
    let mut plain = sealed.to_vec();
    let plain = cipher.decrypt(&mut plain, context).map_err(|_| bad("decryption fails"))?;
    let reader = zstd::stream::read::Decoder::new(&*plain).map_err(|_| bad("it is not zstd"))?;
    body::inflate(reader, plain_max).map_err(|error| bad(&error.message))
}

/// Takes the payload out of S3's `aws-chunked` coding: `<hex length>[;extensions]\r\n<bytes>\r\n … 0\r\n<trailers>`.
pub(crate) fn decode_aws_chunked(wire: &[u8]) -> Option<Bytes> {
    let mut rest = wire;
    let mut payload = BytesMut::with_capacity(wire.len());
    loop {
        let line_end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let line = std::str::from_utf8(rest.get(..line_end)?).ok()?;
        let length = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        rest = rest.get(line_end + 2..)?;
        if length == 0 {
            return Some(payload.freeze());
        }
        payload.extend_from_slice(rest.get(..length)?);
        rest = rest.get(length..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_chunks_give_the_payload_without_trailers() {
        let wire = b"4;chunk-signature=ab\r\nabcd\r\n2\r\nef\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n";
        assert_eq!(decode_aws_chunked(wire).as_deref(), Some(b"abcdef".as_slice()));
        assert_eq!(decode_aws_chunked(b"4\r\nab"), None);
        assert_eq!(decode_aws_chunked(b"zz\r\n"), None);
    }
}
