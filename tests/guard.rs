//! Every buffer ends where memory ends, then begins where it begins: a kernel that touches one value more is stopped by
//! the MMU.
#![cfg(unix)]

mod common;

use common::{
    Rng, Seed,
    kernel_cases::every_kernel,
    levels,
    mem::{Mem, Place},
    operator_cases::every_operator,
    quickcheck,
};
use std::{cell::Cell, io::Write, sync::Once};

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(0) };
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

#[test]
fn operators_stay_inside_at_the_end() {
    quickcheck(60, |seed: Seed| every_operator(&mut rng(&seed), Place::End));
}

#[test]
fn operators_stay_inside_at_the_start() {
    quickcheck(60, |seed: Seed| every_operator(&mut rng(&seed), Place::Start));
}

/// The guard guards: a child that reads one value outside is stopped.
#[test]
fn one_value_outside_is_a_fault() {
    use std::os::unix::process::ExitStatusExt;
    for case in ["outside_at_the_end", "outside_at_the_start"] {
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
