//! Gives memory that a busy minute needed back to the host.

use std::time::Duration;

/// Between two times: often enough that a host with many shims is not filled by their busiest moments, and so rarely that
/// nobody notices what is then fetched anew.
const EVERY: Duration = Duration::from_secs(30);

/// Never ends. For each long-lived process of ours to run beside its work, since the C library's allocator keeps every page below
/// the last one in use: without this a process weighs for ever what its busiest moment needed.
pub async fn keep_giving_back() {
    loop {
        tokio::time::sleep(EVERY).await;
        give_back();
    }
}

/// Gives every whole page that nobody uses back to the host. What is allocated afterwards weighs only the pages that are written to, while
/// memory that was used before weighs all of its own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "the C library's allocator is asked directly, and nothing else has a word for it"
)]
pub fn give_back() {
    // SAFETY: malloc_trim(3) may be called at any time and from any thread; it touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Where the allocator has no word for it: nothing.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}
