//! Request bodies: read up to a limit, decompressed up to another.

use std::io::Read as _;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;

use crate::error::ApiError;

/// Reads a body of at most `wire_max` bytes and decompresses it to at most `plain_max`.
///
/// # Errors
/// 413 above a limit, 400 for a body that is cut or not what `Content-Encoding` says.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    wire_max: usize,
    plain_max: usize,
) -> Result<Bytes, ApiError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|length| length > wire_max) {
        return Err(too_large(wire_max, "on the wire"));
    }
    let wire = axum::body::to_bytes(body, wire_max).await.map_err(|error| {
        // axum gives one error for both: a body that was not announced and is too long, and a cut connection
        if announced.is_none() {
            too_large(wire_max, "on the wire")
        } else {
            ApiError::new(400, "390142", format!("reading the body: {error}"))
        }
    })?;
    let encoding =
        headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("identity");
    match encoding {
        "identity" | "" if wire.len() > plain_max => Err(too_large(plain_max, "uncompressed")),
        "identity" | "" => Ok(wire),
        "zstd" => {
            let decoder = zstd::stream::read::Decoder::new(wire.as_ref())
                .map_err(|error| ApiError::new(400, "390142", format!("zstd: {error}")))?;
            inflate(decoder, plain_max)
        }
        "gzip" => inflate(flate2::read::MultiGzDecoder::new(wire.as_ref()), plain_max),
        other => Err(ApiError::new(
            415,
            "390142",
            format!("Content-Encoding {other} is not zstd, gzip or identity"),
        )),
    }
}

/// Reads all of `reader`, at most `max` bytes.
pub(crate) fn inflate(reader: impl std::io::Read, max: usize) -> Result<Bytes, ApiError> {
    let mut plain = Vec::new();
    reader
        .take(max as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|error| ApiError::new(400, "390142", format!("decompressing the body: {error}")))?;
    if plain.len() > max {
        return Err(too_large(max, "uncompressed"));
    }
    Ok(Bytes::from(plain))
}

fn too_large(max: usize, what: &str) -> ApiError {
    ApiError::new(413, "ERR_PAYLOAD_TOO_LARGE", format!("the body has more than {max} bytes {what}"))
}
