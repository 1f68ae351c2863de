//! Every buffer ends where memory ends, then begins where it begins: a kernel that touches one value more is stopped by
//! the MMU. What the crate allocates itself, packed weights and workspaces, ends where memory ends.
#![cfg(feature = "operators")]
#![cfg(all(unix, target_pointer_width = "64"))]

mod common;

use common::{
    Rng, Seed, chain_cases, emulated_levels, int8_cases,
    kernel_cases::every_kernel,
    kernel_i8_cases, levels,
    mem::{Mem, Place},
    operator_cases::{self, every_operator},
    quickcheck,
};
use kolibri::{ConvGeometry, Padding};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::Write,
    ptr,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(0) };
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// While `GUARDED`, allocations end where an unmapped page begins.
struct Guard;

#[global_allocator]
static ALLOCATOR: Guard = Guard;

/// Addresses for guarded allocations, reserved at the first. Each is used once.
static REGION: AtomicUsize = AtomicUsize::new(0);
static USED: AtomicUsize = AtomicUsize::new(0);
const REGION_LEN: usize = 256 << 30; // QEMU takes seconds for more
/// As large as a page may be.
const PAGE: usize = 64 << 10;

fn region() -> usize {
    let known = REGION.load(Relaxed);
    if known != 0 {
        return known;
    }
    let nowhere = ptr::null_mut();
    // SAFETY: a new mapping that nobody may touch.
    let new = unsafe { libc::mmap(nowhere, REGION_LEN, libc::PROT_NONE, UNTOUCHED, -1, 0) };
    assert_ne!(new, libc::MAP_FAILED);
    // Whichever thread comes second leaves its region unused.
    REGION.compare_exchange(0, new.addr().next_multiple_of(PAGE), Relaxed, Relaxed).unwrap_or_else(|first| first);
    REGION.load(Relaxed)
}

const UNTOUCHED: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

/// Bytes of the pages of an allocation.
fn pages(layout: Layout) -> usize {
    layout.size().next_multiple_of(PAGE)
}

// SAFETY: either the system's allocator, or pages of the region that are handed out once. The size is rounded up to the
// alignment, so that what ends with a page begins aligned.
unsafe impl GlobalAlloc for Guard {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if GUARDED.get() && layout.align() <= PAGE {
            let (region, len) = (region(), pages(layout));
            let at = USED.fetch_add(len + PAGE, Relaxed);
            if at + len + 2 * PAGE < REGION_LEN {
                let pages = ptr::with_exposed_provenance_mut::<u8>(region + at);
                // SAFETY: pages of the region that no other allocation has.
                let result = unsafe { libc::mprotect(pages.cast(), len, libc::PROT_READ | libc::PROT_WRITE) };
                let size = layout.size().next_multiple_of(layout.align());
                return if result == 0 { pages.wrapping_add(len - size) } else { ptr::null_mut() };
            }
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let region = REGION.load(Relaxed);
        if region == 0 || !(region..region + REGION_LEN - PAGE).contains(&at.addr()) {
            // SAFETY: the caller's promise is passed on.
            return unsafe { System.dealloc(at, layout) };
        }
        let len = pages(layout);
        let first = at.wrapping_sub(at.addr() % PAGE);
        // SAFETY: the pages of this allocation, which nobody uses any more, become untouched again.
        unsafe { libc::mmap(first.cast(), len, libc::PROT_NONE, UNTOUCHED | libc::MAP_FIXED, -1, 0) };
    }
}

/// Says which case it was, then lets the instruction fault again, for good.
extern "C" fn on_fault(signal: libc::c_int) {
    let mut text = [0u8; 100];
    let mut rest = &mut text[..];
    let _ = writeln!(rest, "touched memory outside a buffer: KOLIBRI_SEED={} repeats this case", SEED.get());
    let len = 100 - rest.len();
    // SAFETY: both functions may be called in a signal handler; the text is this function's own.
    unsafe {
        libc::write(2, text.as_ptr().cast(), len);
        libc::signal(signal, libc::SIG_DFL);
    }
}

/// A generator for the case of that seed.
fn rng(seed: &Seed) -> Rng {
    static HANDLERS: Once = Once::new();
    HANDLERS.call_once(|| {
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            // SAFETY: the handler does what a handler may, see there.
            unsafe { libc::signal(signal, on_fault as extern "C" fn(libc::c_int) as libc::sighandler_t) };
        }
    });
    SEED.set(seed.0);
    Rng::new(seed.0)
}

fn kernels_inside(seed: &Seed, place: Place) {
    levels().iter().for_each(|kernels| every_kernel(&mut rng(seed), kernels, place));
}

#[test]
fn kernels_stay_inside_at_the_end() {
    quickcheck(60, |seed: Seed| kernels_inside(&seed, Place::End));
}

#[test]
fn kernels_stay_inside_at_the_start() {
    quickcheck(60, |seed: Seed| kernels_inside(&seed, Place::Start));
}

/// Products of bytes that this CPU lacks, where they are emulated: slowly.
#[test]
fn emulated_kernels_stay_inside_at_the_end() {
    quickcheck(3, |seed: Seed| {
        let emulated = emulated_levels();
        emulated.iter().for_each(|kernels| kernel_i8_cases::every_kernel(&mut rng(&seed), kernels, Place::End));
    });
}

fn operators_inside(seed: &Seed, place: Place) {
    let rng = &mut rng(seed);
    GUARDED.set(true);
    every_operator(rng, place);
    int8_cases::every_operator(rng, place);
    GUARDED.set(false);
    let used = USED.load(Relaxed) + PAGE;
    assert!(used < REGION_LEN, "addresses for allocations are used up: the last of them were unguarded");
}

#[test]
fn operators_stay_inside_at_the_end() {
    quickcheck(60, |seed: Seed| operators_inside(&seed, Place::End));
}

#[test]
fn operators_stay_inside_at_the_start() {
    quickcheck(60, |seed: Seed| operators_inside(&seed, Place::Start));
}

/// Channels that are no whole units or blocks, in images that adjoin: the last pixels of the last one end where memory does.
#[test]
fn odd_channels_stay_inside_at_the_end() {
    quickcheck(1, |seed: Seed| {
        let rng = &mut rng(&seed);
        for (c, groups) in (1..=17).chain([31, 33, 50, 63, 97, 127]).flat_map(|c| [(c, 1), (c, 2), (c, c)]) {
            let (all, k) = if groups == c { (c, 3) } else { (c * groups, 1) };
            let geometry = ConvGeometry::new(all, all, [k, k]).padding(Padding::Same).groups(groups);
            GUARDED.set(true);
            int8_cases::conv_of(rng, Place::End, &geometry, [2, 3, 5], [3, 5], false);
            int8_cases::conv_of(rng, Place::Start, &geometry, [1, 1, 2], [1, 2], false);
            operator_cases::conv_of(rng, Place::End, &geometry, [2, 3, 5], [3, 5], false);
            GUARDED.set(false);
        }
    });
}

fn chains_inside(seed: &Seed, place: Place) {
    let rng = &mut rng(seed);
    GUARDED.set(true);
    chain_cases::chain(rng, place);
    GUARDED.set(false);
}

#[test]
fn chains_stay_inside_at_the_end() {
    quickcheck(40, |seed: Seed| chains_inside(&seed, Place::End));
}

#[test]
fn chains_stay_inside_at_the_start() {
    quickcheck(40, |seed: Seed| chains_inside(&seed, Place::Start));
}

/// The guard guards: a child that reads one value outside is stopped.
#[test]
fn one_value_outside_is_a_fault() {
    use std::os::unix::process::ExitStatusExt;
    for case in ["outside_at_the_end", "outside_at_the_start", "outside_an_allocation"] {
        let status = common::this_test(case).status().expect("the child starts");
        let signal = status.signal().or(status.code().map(|code| code - 128));
        assert!(matches!(signal, Some(libc::SIGSEGV | libc::SIGBUS)), "{case}: {status}");
    }
}

#[test]
#[ignore = "faults, as another test wants"]
fn outside_at_the_end() {
    let memory = Mem::new(Place::End, &[1.0f32], 0.0);
    // SAFETY: none: this ends the process.
    std::hint::black_box(unsafe { memory.as_ptr().add(1).read_volatile() });
}

#[test]
#[ignore = "faults, as another test wants"]
fn outside_at_the_start() {
    let memory = Mem::new(Place::Start, &[1.0f32], 0.0);
    // SAFETY: none: this ends the process.
    std::hint::black_box(unsafe { memory.as_ptr().sub(1).read_volatile() });
}

#[test]
#[ignore = "faults, as another test wants"]
fn outside_an_allocation() {
    GUARDED.set(true);
    let memory = std::hint::black_box(vec![1u64; 100]);
    GUARDED.set(false);
    // SAFETY: none: this ends the process.
    std::hint::black_box(unsafe { memory.as_ptr().add(100).read_volatile() });
}
