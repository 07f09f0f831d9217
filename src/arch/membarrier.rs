//! A full fence on every core that runs a thread of the process: `membarrier(2)`.

/// There was no fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Nor will there be one. If not, the kernel is out of memory for the moment.
    pub(crate) for_good: bool,
}

#[cfg(all(target_os = "linux", not(any(miri, nori_portable))))]
mod imp {
    use super::Refused;
    use rustix::io::Errno;
    use rustix::thread::{MembarrierCommand, membarrier};

    /// Tells the kernel that this process is going to issue fences. Whether the kernel has them (expedited: Linux 4.14) and
    /// lets this process use them.
    pub(crate) fn register() -> bool {
        membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
    }

    /// Returns when each core that runs a thread of this process has been through a full fence.
    pub(crate) fn issue() -> Result<(), Refused> {
        membarrier(MembarrierCommand::PrivateExpedited).map_err(|error| Refused {
            for_good: error != Errno::NOMEM,
        })
    }
}

#[cfg(not(all(target_os = "linux", not(any(miri, nori_portable)))))]
mod imp {
    use super::Refused;

    /// There is no such call.
    pub(crate) fn register() -> bool {
        false
    }

    /// There is no such call.
    pub(crate) fn issue() -> Result<(), Refused> {
        Err(Refused { for_good: true })
    }
}

pub(crate) use imp::{issue, register};
