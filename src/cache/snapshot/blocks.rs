//! The bytes of a snapshot: a head, blocks, and an end that says how many entries there were.
//!
//! | bytes | |
//! |---|---|
//! | 8 | [`MAGIC`] |
//! | 2 | [`VERSION`] |
//! | 8 | when it was taken, in milliseconds since 1970 |
//! | 4 | length of a block, from 1; 0 for the end |
//! | 4 | checksum |
//! | length | the block; of the end: 8 bytes, the number of entries |
//!
//! Numbers are little-endian. A checksum is the CRC-32 of all that comes before it and of its own block, without the checksums
//! themselves, so that a block which is missing, changed or in another place is found at the next checksum.

use crate::error::Error;
use crc32fast::Hasher;
use std::io::{ErrorKind, Read, Write};

/// No text starts like this, and a transfer that changes ends of lines breaks it: as of PNG.
const MAGIC: [u8; 8] = *b"\x93NORI\r\n\x1a";
const VERSION: u16 = 1;
/// From so many bytes on a block is full.
const FULL: usize = 1 << 16;

/// Writes blocks.
pub(super) struct Blocks<'w, W> {
    to: &'w mut W,
    checksum: Hasher,
    block: Vec<u8>,
    entries: u64,
}

impl<'w, W: Write> Blocks<'w, W> {
    /// Writes the head.
    pub(super) fn begin(to: &'w mut W, taken_at: u64) -> Result<Self, Error> {
        let mut head = MAGIC.to_vec();
        head.extend(VERSION.to_le_bytes());
        head.extend(taken_at.to_le_bytes());
        let mut checksum = Hasher::new();
        checksum.update(&head);
        to.write_all(&head).map_err(Error::io)?;
        Ok(Self {
            to,
            checksum,
            block: Vec::new(),
            entries: 0,
        })
    }

    /// Adds an entry, all of whose bytes `encode` appends.
    pub(super) fn add(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        encode(&mut self.block)?;
        self.entries += 1;
        if self.block.len() < FULL {
            return Ok(());
        }
        self.write_block()
    }

    fn write_block(&mut self) -> Result<(), Error> {
        let length = u32::try_from(self.block.len())
            .map_err(|_| Error::encoding("an entry takes more than 4 GiB"))?;
        self.checksum.update(&length.to_le_bytes());
        self.checksum.update(&self.block);
        self.write(length)
    }

    fn write(&mut self, length: u32) -> Result<(), Error> {
        let checksum = self.checksum.clone().finalize();
        for bytes in [
            &length.to_le_bytes(),
            &checksum.to_le_bytes(),
            &self.block[..],
        ] {
            self.to.write_all(bytes).map_err(Error::io)?;
        }
        self.block.clear();
        Ok(())
    }

    /// Writes what is left, and the end; says how many entries there were.
    pub(super) fn end(mut self) -> Result<u64, Error> {
        if !self.block.is_empty() {
            self.write_block()?;
        }
        self.block.extend(self.entries.to_le_bytes());
        self.checksum.update(&0_u32.to_le_bytes());
        self.checksum.update(&self.block);
        self.write(0)?;
        self.to.flush().map_err(Error::io)?;
        Ok(self.entries)
    }
}

/// Reads blocks, and gives out none that is not what was written.
pub(super) struct Opened<'r, R> {
    from: &'r mut R,
    checksum: Hasher,
    pub(super) taken_at: u64,
    read: u64,
}

impl<'r, R: Read> Opened<'r, R> {
    /// Reads the head.
    pub(super) fn open(from: &'r mut R) -> Result<Self, Error> {
        let mut it = Self {
            from,
            checksum: Hasher::new(),
            taken_at: 0,
            read: 0,
        };
        let magic: [u8; MAGIC.len()] = it.take()?;
        if magic != MAGIC {
            return Err(Error::damaged("it does not begin as a snapshot does"));
        }
        let version = u16::from_le_bytes(it.take()?);
        if version != VERSION {
            let why = format!("it is of version {version}, and only {VERSION} can be read");
            return Err(Error::damaged(why));
        }
        it.taken_at = u64::from_le_bytes(it.take()?);
        it.checksum.update(&MAGIC);
        it.checksum.update(&VERSION.to_le_bytes());
        it.checksum.update(&it.taken_at.to_le_bytes());
        Ok(it)
    }

    /// Reads the next block; at the end, instead, checks that there were so many entries as were written.
    pub(super) fn next(&mut self, block: &mut Vec<u8>, entries: u64) -> Result<bool, Error> {
        let length = u32::from_le_bytes(self.take()?);
        let expected = u32::from_le_bytes(self.take()?);
        let size = match length {
            0 => size_of::<u64>() as u64,
            length => length.into(),
        };
        // The room grows with what is there: a length that is not true takes no memory.
        block.clear();
        let mut part = self.from.by_ref().take(size);
        let read = part.read_to_end(block).map_err(Error::io)?;
        self.read += read as u64;
        if (read as u64) < size {
            return Err(self.cut_short());
        }
        self.checksum.update(&length.to_le_bytes());
        self.checksum.update(block);
        if self.checksum.clone().finalize() != expected {
            let why = format!("its checksum is wrong at byte {}", self.read);
            return Err(Error::damaged(why));
        }
        if length > 0 {
            return Ok(true);
        }
        if block[..] != entries.to_le_bytes() {
            return Err(Error::damaged(
                "it has another number of entries than it says",
            ));
        }
        Ok(false)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.from
            .read_exact(&mut bytes)
            .map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => self.cut_short(),
                _ => Error::io(error),
            })?;
        self.read += N as u64;
        Ok(bytes)
    }

    fn cut_short(&self) -> Error {
        Error::damaged(format!("it ends too early, after byte {}", self.read))
    }
}
