//! With the feature `encryption`: AES-256-GCM, with keys that can be rotated.
//!
//! A sealed value is: header, id of the key (4 bytes), nonce (12), ciphertext, tag (16). What is authenticated beside the
//! ciphertext: the header, the key's id, and the place of the value, which is the cache's prefix and key. So nothing of it can be
//! changed, and a value that was copied to another key does not open there.

use crate::backend::codec::Codec;
use crate::backend::undecodable::{DecodeError, Reason};
use crate::error::Error;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit, Nonce, Tag};
use std::fmt;
use std::sync::Arc;

const ID: usize = 4;
const NONCE: usize = 12;
const TAG: usize = 16;

/// How many bytes are between the header and the ciphertext.
pub(in crate::backend::codec) const PREFIX: usize = ID + NONCE;

/// The keys of a codec that [encrypts](Codec::encrypted): one to write with, and any number of others that are still read with.
///
/// To rotate keys, let all processes read with the new one, then let them write with it, and forget the old one when the last
/// value of its time has expired:
///
/// ```
/// use nori_cache::Keys;
///
/// let (old, new) = ([1; 32], [2; 32]);    // from a secret store: 32 random bytes each
/// let today = Keys::new(1, &old);
/// let introduced = Keys::new(1, &old).and(2, &new)?;
/// let rotated = Keys::new(2, &new).and(1, &old)?;
/// let done = Keys::new(2, &new);
/// # Ok::<(), nori_cache::Error>(())
/// ```
///
/// Each value has a random nonce of 96 bits. **A key is good for 2^32 values**, which is what NIST SP 800-38D allows for random
/// nonces (the odds that two of them are equal are then 1 in 2^32): at 1,000 writes a second, of all processes together, that is
/// 49 days. Counted are writes, not what is stored.
///
/// Clones share the keys, which are wiped from memory with the last clone. `Debug` shows their ids.
#[derive(Clone)]
#[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
pub struct Keys {
    /// The first is the one that writes.
    all: Arc<Vec<Key>>,
}

#[derive(Clone)]
struct Key {
    id: u32,
    cipher: Aes256Gcm,
}

impl Key {
    fn new(id: u32, key: &[u8; 32]) -> Self {
        let cipher = Aes256Gcm::new(key.into());
        Self { id, cipher }
    }
}

impl Keys {
    /// The key to write and to read with. The id is stored with each value, and is not secret; an id means the same key
    /// everywhere and for ever.
    pub fn new(id: u32, key: &[u8; 32]) -> Self {
        let all = Arc::new(vec![Key::new(id, key)]);
        Self { all }
    }

    /// Another key to read with.
    ///
    /// # Errors
    /// [`Error::is_invalid_config`] if there is a key of this id already.
    pub fn and(mut self, id: u32, key: &[u8; 32]) -> Result<Self, Error> {
        if self.find(id).is_some() {
            let allowed = "another one for each key";
            return Err(Error::invalid_config("the id of a key", id, allowed));
        }
        Arc::make_mut(&mut self.all).push(Key::new(id, key));
        Ok(self)
    }

    fn find(&self, id: u32) -> Option<&Key> {
        self.all.iter().find(|key| key.id == id)
    }

    /// Encrypts what is in `bytes` from `at + PREFIX` on, in place, and puts in front of it what reading it takes. `associated` is
    /// authenticated.
    pub(in crate::backend::codec) fn seal(
        &self,
        header: &[u8],
        associated: &[u8],
        mut bytes: Vec<u8>,
        at: usize,
    ) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(Error::encoding)?;
        let key = &self.all[0];
        let (_, sealed) = bytes.split_at_mut(at);
        let (prefix, plain) = sealed.split_at_mut(PREFIX);
        prefix[..ID].copy_from_slice(&key.id.to_be_bytes());
        prefix[ID..].copy_from_slice(&nonce);
        let data = associated_data(header, key.id, associated);
        let tag = key
            .cipher
            .encrypt_inout_detached(&Nonce::from(nonce), &data, InOutBuf::from(plain))
            .map_err(|_| Error::encoding("too large to be encrypted"))?;
        bytes.extend_from_slice(&tag);
        Ok(bytes)
    }

    /// What is sealed in the bytes, which are those behind the header.
    pub(in crate::backend::codec) fn open(
        &self,
        header: &[u8],
        associated: &[u8],
        bytes: &[u8],
    ) -> Result<Vec<u8>, DecodeError> {
        let forged = || DecodeError::new(Reason::Forged, "it fails authentication");
        let (&id, rest) = bytes.split_first_chunk::<ID>().ok_or_else(forged)?;
        let (&nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or_else(forged)?;
        let (encrypted, &tag) = rest.split_last_chunk::<TAG>().ok_or_else(forged)?;
        let id = u32::from_be_bytes(id);
        let Some(key) = self.find(id) else {
            let text = format!("it was encrypted with key {id}, which is not here");
            return Err(DecodeError::new(Reason::UnknownKey, text));
        };
        let mut plain = encrypted.to_vec();
        let data = associated_data(header, id, associated);
        let buffer = InOutBuf::from(&mut *plain);
        match key
            .cipher
            .decrypt_inout_detached(&Nonce::from(nonce), &data, buffer, &Tag::from(tag))
        {
            Ok(()) => Ok(plain),
            Err(_) => Err(forged()),
        }
    }
}

/// What is authenticated and not encrypted. The header and the id have fixed lengths, so no two values have the same.
fn associated_data(header: &[u8], id: u32, associated: &[u8]) -> Vec<u8> {
    [header, &id.to_be_bytes(), associated].concat()
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.all.iter().map(|key| key.id);
        f.debug_list().entries(ids).finish()
    }
}

impl Codec {
    /// Encrypts and authenticates values, with AES-256-GCM: who can read and write the store learns how long they are and when
    /// they change, and can remove them or put an older value of the same key back, but neither read nor change nor move them.
    ///
    /// What was not encrypted by it is a miss, whoever wrote it, and a backend with this codec refuses to store anything that is
    /// not encrypted. With one exception: **counters are not encrypted**, as the server must be able to add to them.
    /// [`incr`](crate::CacheBackendExt::incr) works on bare numbers; `get` does not read those, because anybody could have
    /// written them: ask a counter with `incr_by(key, 0, ttl)`. A number that was *set* is encrypted, and no counter.
    ///
    /// Keys of the cache are not encrypted: put no secrets into them.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, Codec, Keys, MemoryCacheBackend, Ttl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// # let key = [7; 32];
    /// let codec = Codec::json().encrypted(Keys::new(1, &key));
    /// let backend = MemoryCacheBackend::builder().codec(codec).build()?;
    /// backend.set("token", "hunter2", Ttl::Never).await?;
    /// assert_eq!(backend.get::<String>("token").await?.unwrap(), "hunter2");
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
    #[must_use]
    pub fn encrypted(self, keys: Keys) -> Self {
        self.with(|settings| settings.keys = Some(keys))
    }
}
