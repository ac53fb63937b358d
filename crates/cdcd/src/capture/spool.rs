//! The files in which transactions in progress wait for their end: one each, in a folder of the connector's own.
//!
//! They hold row values, so nobody else may read them. None outlives a connection: the server sends transactions without
//! an end anew on the next one.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cdcd_capture::spool::{Spool, SpoolError};

const EXTENSION: &str = "spool";

/// The spool of one connection.
#[derive(Debug)]
pub(super) struct FileSpool {
    folder: PathBuf,
    /// Tells the files of two processes apart.
    run_id: String,
    bytes_max: u64,
    /// Of all files.
    bytes: u64,
    /// Bytes by transaction.
    sizes: BTreeMap<u32, u64>,
    /// The two that were used last.
    writing: Option<(u32, File)>,
    reading: Option<(u32, File)>,
}

impl FileSpool {
    /// Makes the folder of connector `name` below `dir`, or clears it of what an earlier connection left.
    ///
    /// # Errors
    /// The folder cannot be made, written to, or is somebody else's.
    pub(super) fn open(dir: &Path, name: &str, run_id: &str, bytes_max: u64) -> Result<Self, SpoolError> {
        let folder = dir.join(format!("cdcd-spool.{}", file_name(name)));
        let prepared = prepare(&folder, run_id);
        prepared.map_err(|error| disk(&folder, "cannot be used", &error))?;
        Ok(FileSpool {
            folder,
            run_id: run_id.to_owned(),
            bytes_max,
            bytes: 0,
            sizes: BTreeMap::new(),
            writing: None,
            reading: None,
        })
    }

    fn path(&self, xid: u32) -> PathBuf {
        self.folder.join(format!("{}-{xid}.{EXTENSION}", self.run_id))
    }

    fn writing(&mut self, xid: u32) -> io::Result<&mut File> {
        let file = match self.writing.take() {
            Some((last, file)) if last == xid => file,
            _ => OpenOptions::new().append(true).create(true).mode(0o600).open(self.path(xid))?,
        };
        Ok(&mut self.writing.insert((xid, file)).1)
    }

    fn reading(&mut self, xid: u32) -> io::Result<&File> {
        let file = match self.reading.take() {
            Some((last, file)) if last == xid => file,
            _ => File::open(self.path(xid))?,
        };
        Ok(&self.reading.insert((xid, file)).1)
    }
}

impl Spool for FileSpool {
    fn append(&mut self, xid: u32, bytes: &[u8]) -> Result<(), SpoolError> {
        let length = bytes.len() as u64;
        if self.bytes + length > self.bytes_max {
            return Err(full(self));
        }
        let written = self.writing(xid).and_then(|file| file.write_all(bytes));
        written.map_err(|error| disk(&self.path(xid), "cannot be written", &error))?;
        self.bytes += length;
        *self.sizes.entry(xid).or_default() += length;
        Ok(())
    }

    fn read(&mut self, xid: u32, offset: u64, into: &mut [u8]) -> Result<usize, SpoolError> {
        let read = self.reading(xid).and_then(|file| file.read_at(into, offset));
        read.map_err(|error| disk(&self.path(xid), "cannot be read", &error))
    }

    fn remove(&mut self, xid: u32) -> Result<(), SpoolError> {
        let Some(size) = self.sizes.remove(&xid) else { return Ok(()) };
        self.bytes -= size;
        self.writing.take_if(|(last, _)| *last == xid);
        self.reading.take_if(|(last, _)| *last == xid);
        remove_file(&self.path(xid)).map_err(|error| disk(&self.path(xid), "cannot be removed", &error))
    }
}

impl Drop for FileSpool {
    fn drop(&mut self) {
        for xid in std::mem::take(&mut self.sizes).into_keys() {
            if let Err(error) = remove_file(&self.path(xid)) {
                tracing::warn!(path = %self.path(xid).display(), %error, "a spool file was left behind");
            }
        }
        // Fails while another process of the same name has files in it, and is made again when needed.
        let _: io::Result<()> = fs::remove_dir(&self.folder);
    }
}

fn prepare(folder: &Path, run_id: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Below /var/tmp anybody can make a folder of this name, or a link.
    let found = fs::symlink_metadata(folder)?;
    let probe = folder.join(format!("{run_id}.probe"));
    let ours = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&probe)?;
    let owner = ours.metadata()?.uid();
    fs::remove_file(&probe)?;
    if !found.is_dir() || found.uid() != owner {
        return Err(io::Error::new(ErrorKind::PermissionDenied, "it belongs to somebody else"));
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// One that is gone is gone: a successor clears the folder, too.
fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// A connector name as a part of a file name.
fn file_name(name: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let written = |byte: u8| match plain(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    name.bytes().map(written).collect()
}

fn full(spool: &FileSpool) -> SpoolError {
    SpoolError {
        what: format!(
            "E_SPOOL_FULL: {} transactions in progress need more than the {} bytes of cdcd.spool.max.bytes in {}",
            spool.sizes.len(),
            spool.bytes_max,
            spool.folder.display()
        ),
        hint: "raise cdcd.spool.max.bytes, end or split the transactions on the server, or set cdcd.streaming=off: then \
               the server keeps them on its own disk. Nothing is lost: what was not delivered was not acknowledged"
            .to_owned(),
    }
}

fn disk(path: &Path, what: &str, error: &io::Error) -> SpoolError {
    SpoolError {
        what: format!("E_SPOOL_DISK: {} {what}: {error}", path.display()),
        hint: "give cdcd.spool.dir a folder with room that this user may write, or set cdcd.streaming=off. Nothing is \
               lost: what was not delivered was not acknowledged"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("cdcd-spool-test-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Place(path)
        }

        fn spool(&self, bytes_max: u64) -> FileSpool {
            FileSpool::open(&self.0, "a/b", "run", bytes_max).unwrap()
        }

        fn files(&self) -> Vec<String> {
            let folder = self.0.join("cdcd-spool.a%2Fb");
            let names = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
            fs::read_dir(folder).map(|entries| entries.map(names).collect()).unwrap_or_default()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _: io::Result<()> = fs::remove_dir_all(&self.0);
        }
    }

    fn all(spool: &mut FileSpool, xid: u32) -> Vec<u8> {
        let (mut bytes, mut piece) = (Vec::new(), [0; 3]);
        loop {
            match spool.read(xid, bytes.len() as u64, &mut piece).unwrap() {
                0 => return bytes,
                read => bytes.extend_from_slice(&piece[..read]),
            }
        }
    }

    #[test]
    fn interleaved_transactions_have_a_file_each_until_they_end() {
        let place = Place::new("interleaved");
        let mut spool = place.spool(100);
        for bytes in [b"ab".as_slice(), b"cd"] {
            spool.append(7, bytes).unwrap();
            spool.append(8, &bytes.to_ascii_uppercase()).unwrap();
        }
        assert_eq!((all(&mut spool, 7), all(&mut spool, 8)), (b"abcd".to_vec(), b"ABCD".to_vec()));
        spool.remove(7).unwrap();
        spool.remove(9).unwrap();
        assert_eq!(place.files(), ["run-8.spool"]);
        drop(spool);
        assert!(place.files().is_empty());
    }

    #[test]
    fn more_than_the_cap_is_refused_and_room_comes_back() {
        let place = Place::new("cap");
        let mut spool = place.spool(4);
        spool.append(7, b"abc").unwrap();
        let error = spool.append(8, b"de").unwrap_err();
        assert!(error.what.starts_with("E_SPOOL_FULL") && error.hint.contains("cdcd.spool.max.bytes"));
        spool.remove(7).unwrap();
        spool.append(8, b"defg").unwrap();
    }

    #[test]
    fn what_a_killed_process_left_is_cleared_at_the_start() {
        let place = Place::new("left");
        let mut spool = place.spool(100);
        spool.append(7, b"abc").unwrap();
        std::mem::forget(spool);
        assert_eq!(place.files(), ["run-7.spool"]);
        let mut next = place.spool(100);
        assert!(place.files().is_empty());
        assert!(next.read(7, 0, &mut [0]).unwrap_err().what.starts_with("E_SPOOL_DISK"));
    }

    #[test]
    fn nobody_else_may_read_it_and_a_link_is_not_followed() {
        let place = Place::new("rights");
        let mut spool = place.spool(100);
        spool.append(7, b"abc").unwrap();
        let folder = place.0.join("cdcd-spool.a%2Fb");
        for (path, mode) in [(folder.clone(), 0o700), (folder.join("run-7.spool"), 0o600)] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, mode);
        }
        let elsewhere = place.0.join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, place.0.join("cdcd-spool.link")).unwrap();
        let error = FileSpool::open(&place.0, "link", "run", 1).unwrap_err();
        assert!(error.what.contains("somebody else"), "{error}");
        fs::write(place.0.join("file"), "").unwrap();
        let error = FileSpool::open(&place.0.join("file"), "x", "run", 1).unwrap_err();
        assert!(error.what.starts_with("E_SPOOL_DISK"), "{error}");
    }
}
