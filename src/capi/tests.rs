//! What a defect of the library looks like from outside: a status.

use super::*;
use crate::{Error, Parallel};
use core::ffi::c_void;
use operator::{Images, Operator, Run};

/// An operator with a defect.
struct Defect {
    in_task: bool,
}

impl Run<f32> for Defect {
    fn kernel_names(&self) -> Vec<&'static str> {
        panic!("on purpose")
    }

    fn run(&self, _: Images<'_, f32>, _: &mut [u64], parallel: &dyn Parallel) -> Result<(), Error> {
        if self.in_task {
            parallel.run(4, &|task| assert!(task != 2, "on purpose"));
            return Ok(());
        }
        panic!("on purpose")
    }
}

unsafe extern "C" fn on_threads(_: *mut c_void, n: usize, task: kolibri_task, arg: *mut c_void) {
    let (task, arg) = (task.expect("a task"), arg.expose_provenance());
    std::thread::scope(|scope| {
        for i in 0..n {
            // SAFETY: as `kolibri_parallel` says: each task once, before this returns.
            scope.spawn(move || unsafe { task(core::ptr::with_exposed_provenance_mut(arg), i) });
        }
    });
}

#[test]
fn nothing_unwinds() {
    let data = [0.0f32; 2];
    let mut out = [0.0f32; 2];
    let (n, h, w, c, pixel_stride) = (1, 1, 1, 2, 0);
    let (struct_size, dtype, len) = (size_of::<kolibri_image>(), kolibri_dtype::F32 as u32, 2);
    let x = kolibri_image { struct_size, dtype, data: data.as_ptr().cast(), len, n, h, w, c, pixel_stride };
    let data = out.as_mut_ptr().cast();
    let y = kolibri_image_mut { struct_size, dtype, data, len, n, h, w, c, pixel_stride };
    use core::ptr::{null, null_mut};
    let struct_size = size_of::<kolibri_parallel>();
    let lent = kolibri_parallel { struct_size, threads: 4, parallel_for: Some(on_threads), ctx: null_mut() };
    for (in_task, parallel) in [(false, null()), (false, &raw const lent), (true, &raw const lent)] {
        let op = kolibri_operator(Operator::F32(Box::new(Defect { in_task })));
        // SAFETY: images of what they say, NULL where that may be.
        let status = unsafe { kolibri_run(&op, &x, null(), &y, null_mut(), 0, parallel) };
        assert_eq!(status, kolibri_status::InternalError);
        // SAFETY: NULL may be.
        let status = unsafe { kolibri_operator_kernel(&op, 0, null_mut(), 0, null_mut()) };
        assert_eq!(status, kolibri_status::InternalError);
        // SAFETY: NULL may be.
        assert!(unsafe { kolibri_last_error(null_mut(), 0) } > 0);
    }
}
