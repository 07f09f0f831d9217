//! A process that forbids `membarrier(2)` after it has used it, as one does that gives up what it does not need once it has
//! started.
//!
//! A filter stays for good, so it is installed in a process of its own: this test's binary, told to run one test.

use crate::Cache;
use rustix::io::Errno;
use rustix::thread::{MembarrierCommand, membarrier};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Set for the process that installs the filter.
const CHILD: &str = "NORI_CACHE_TEST_FORBIDS";
const KEYS: usize = 100;
/// What may wait to be dropped beside them: some batches of 8.
const LAG: usize = 64;

#[test]
fn an_idle_thread_holds_nothing_up_when_a_filter_forbids_the_barrier() {
    let child = "core::reclaim::forbidden::in_a_process_of_its_own";
    let binary = std::env::current_exe().expect("the binary is there");
    let output = Command::new(binary)
        .args(["--exact", child, "--nocapture"])
        .env(CHILD, "")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{error}"
    );
}

/// Counts by the owners of one `Arc` how many values there are.
struct World {
    cache: Cache<u64, Arc<()>>,
    count: Arc<()>,
    next: u64,
}

impl World {
    fn insert(&mut self, count: u64) {
        for _ in 0..count {
            self.cache.insert(self.next, Arc::clone(&self.count));
            self.next += 1;
        }
    }

    fn alive(&self) -> usize {
        Arc::strong_count(&self.count) - 1
    }
}

/// A thread that reads when it is told to, and says when it has.
fn reader(cache: Cache<u64, Arc<()>>) -> (Sender<()>, Receiver<()>) {
    let (tell, told) = channel::<()>();
    let (say, said) = channel();
    thread::spawn(move || {
        for () in told {
            cache.get_with(&0, |_| ());
            say.send(()).expect("somebody listens");
        }
    });
    (tell, said)
}

/// The process of the test above, as the filter that it installs stays; does nothing by itself.
#[test]
fn in_a_process_of_its_own() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let builder = Cache::builder().max_keys(KEYS).shards(1);
    let mut world = World {
        cache: builder.build().expect("it is a cache"),
        count: Arc::new(()),
        next: 0,
    };
    let (tell, said) = reader(world.cache.clone());
    let read = || {
        tell.send(()).expect("the reader is there");
        said.recv().expect("it reads");
    };
    for _ in 0..3 {
        read();
        world.insert(10_000);
        assert!(world.alive() <= KEYS + LAG, "{} alive", world.alive());
    }
    read();
    forbid_membarrier();
    let refused = membarrier(MembarrierCommand::PrivateExpedited);
    assert_eq!(refused, Err(Errno::PERM));
    // The first of these writes are refused the barrier; what they leave waits for some milliseconds at least.
    world.insert(1_000);
    thread::sleep(Duration::from_millis(50));
    world.insert(20_000);
    assert!(world.alive() <= KEYS + LAG, "{} alive", world.alive());
    for _ in 0..3 {
        read();
        world.insert(10_000);
        assert!(world.alive() <= KEYS + LAG, "{} alive", world.alive());
    }
}

/// From now on the call fails in this thread, and those that it starts, as if there were no permission.
fn forbid_membarrier() {
    let load_number = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let jump_if_equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let answer = libc::BPF_RET | libc::BPF_K;
    let step = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let mut steps = [
        step(load_number, 0, 0, 0),
        step(jump_if_equal, 0, 1, libc::SYS_membarrier as u32),
        step(answer, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the program is valid for as long as the call, which copies it.
    let installed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) == 0
    };
    assert!(installed, "{}", std::io::Error::last_os_error());
}
