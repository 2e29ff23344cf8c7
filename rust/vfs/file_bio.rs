// SPDX-License-Identifier: GPL-2.0-only

//! Bios that read a file, for superblocks that are backed by one.
//!
//! The file is read in the task that submits the bio. What fails because that task is dying, or was
//! interrupted, is no error of the file, and others may wait for the data: a worker goes on from
//! there. So a read must not depend on its submitter, and all that it needs is a [`Request`] in
//! front of its bio, in one allocation.
//!
//! C headers: [`include/linux/bio.h`](srctree/include/linux/bio.h),
//! [`include/linux/uio.h`](srctree/include/linux/uio.h)

use crate::{
    bindings::{
        self,
        helpers, //
    },
    task,
    work_class,
    workqueue::{
        Class,
        OwnedQueue,
        Priority, //
    }, //
};
use core::{
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// How many bios there are when there is no memory (`BIO_POOL_SIZE`).
const RESERVE: u32 = 2;

/// To read into memory (`enum iter_dir`).
const ITER_DEST: u32 = 0;

/// The memory of bios that read files, and the workers that finish what a dying task leaves.
///
/// # Invariants
///
/// `set` is a bio set with room for a [`Request`] in front of each bio.
#[pin_data(PinnedDrop)]
pub(crate) struct FileBios {
    #[pin]
    set: Opaque<bindings::bio_set>,
    queue: OwnedQueue,
}

// SAFETY: a bio set locks itself, and so does a queue.
unsafe impl Send for FileBios {}
// SAFETY: All that is done by reference is to allocate and to queue, from any task.
unsafe impl Sync for FileBios {}

impl FileBios {
    /// Makes the memory and the queue, which is called `name`. `ENOMEM`. May sleep.
    pub(crate) fn new(name: &'static CStr) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            queue: OwnedQueue::new(name, Priority::Normal)?,
            set <- Opaque::try_ffi_init(|set: *mut bindings::bio_set| {
                let flags = bindings::BIOSET_NEED_BVECS as i32;
                // SAFETY: The place is pinned, and zeroes are what `bioset_init` wants.
                to_result(unsafe {
                    set.write(pin_init::zeroed());
                    bindings::bioset_init(set, RESERVE, offset_of!(Request, bio) as u32, flags)
                })
            }),
        }? Error)
    }

    /// Allocates a bio for a read of `file`, with room for `segments` pieces; null without memory.
    /// May sleep.
    ///
    /// # Safety
    ///
    /// `file` is open. `self` outlives the bio, which ends by [`submit`] or by [`end`].
    pub(crate) unsafe fn alloc(
        &self,
        file: NonNull<bindings::file>,
        segments: u16,
    ) -> *mut bindings::bio {
        // SAFETY: The set was initialised; a bio from it has a `Request` in front, which nobody
        // else uses. The file is open, so there is a reference to count from.
        unsafe {
            let bio = helpers::bio_alloc_read_from(self.set.get(), segments);
            if let Some(request) = NonNull::new(bio).map(|bio| Request::of(bio.as_ptr())) {
                helpers::get_file(file.as_ptr());
                (&raw mut (*request).bios).write(NonNull::from(self));
                (&raw mut (*request).file).write(file);
            }
            bio
        }
    }

    /// Has a worker go on with `request`. Does not sleep.
    ///
    /// # Safety
    ///
    /// The request was begun, and moves to the worker.
    unsafe fn hand_over(&self, request: *mut Request) {
        // SAFETY: The work item is in the request, which stays where it is until its bio ends, and
        // is not queued: it is initialised here. The field of a live request is not null.
        unsafe {
            let work = NonNull::new_unchecked(&raw mut (*request).work);
            let Class { name, key } = work_class!("Request");
            let (name, key) = (name.as_char_ptr(), key.as_ptr());
            bindings::init_work_with_key(work.as_ptr(), Some(go_on), false, name, key);
            self.queue.queue(work);
        }
    }
}

#[pinned_drop]
impl PinnedDrop for FileBios {
    fn drop(self: Pin<&mut Self>) {
        // A worker that has ended its bio may still have to free it.
        OwnedQueue::finish(core::iter::once(&self.queue));
        // SAFETY: `new` initialised the set, and all of its bios are back.
        unsafe { bindings::bioset_exit(self.set.get()) };
    }
}

/// A read of a file: what lies in front of its bio.
///
/// # Invariants
///
/// `bios` is what it was allocated from. `file` is a reference to an open file, until the bio
/// ends. `iocb`, `iter` and `work` are uninitialised until the read begins; then `iocb` and `iter`
/// say what is left of it.
#[repr(C)]
struct Request {
    bios: NonNull<FileBios>,
    file: NonNull<bindings::file>,
    iocb: bindings::kiocb,
    iter: bindings::iov_iter,
    work: bindings::work_struct,
    /// Of this only the place matters here: the block layer frees it, and with it the request.
    bio: bindings::bio,
}

impl Request {
    /// The request that lies in front of `bio`.
    ///
    /// # Safety
    ///
    /// `bio` is from [`FileBios::alloc`].
    unsafe fn of(bio: *mut bindings::bio) -> *mut Self {
        // SAFETY: The bio is the field of a `Request`, as `new` told the set.
        unsafe { kernel::container_of!(bio, Self, bio) }
    }

    /// Gets ready to read from byte `pos` on into all segments of the bio. `EIO` where no file can
    /// have the position.
    ///
    /// # Safety
    ///
    /// `this` is live, and not begun.
    unsafe fn begin(this: *mut Self, pos: u64) -> Result {
        // No flags of the file: it is read through its page cache even if it was opened for direct
        // I/O, which memory at any address is not aligned for. And no completion: it waits.
        let iocb = bindings::kiocb {
            // SAFETY: The caller has a live request, which has its file until its bio ends.
            ki_filp: unsafe { (*this).file }.as_ptr(),
            ki_pos: i64::try_from(pos).map_err(|_| EIO)?,
            // SAFETY: Only looks at the current task.
            ki_ioprio: unsafe { helpers::get_current_ioprio() } as u16,
            ..Default::default()
        };
        // SAFETY: The request is live, and its segments belong to the bio, which goes with it.
        unsafe {
            (&raw mut (*this).iocb).write(iocb);
            let bio = &raw const (*this).bio;
            bindings::iov_iter_bvec(
                &raw mut (*this).iter,
                ITER_DEST,
                (*bio).bi_io_vec,
                (*bio).bi_vcnt.into(),
                (*bio).bi_iter.bi_size as usize,
            );
        }
        Ok(())
    }

    /// Reads what is left, with the credentials of whoever opened the file. `EIO` where the file is
    /// shorter. May sleep.
    ///
    /// # Safety
    ///
    /// `this` was begun, and its segments are writable memory that is not used otherwise.
    unsafe fn read(this: *mut Self) -> Result {
        // SAFETY: The file is open, and has its opener's credentials, which go back below, in the
        // same task. The memory is as the contract says, and is not used any more on return.
        unsafe {
            let file = (*this).file.as_ptr();
            let (iocb, iter) = (&raw mut (*this).iocb, &raw mut (*this).iter);
            let before = helpers::override_creds((*file).f_cred);
            let mut result = Ok(());
            while result.is_ok() && helpers::iov_iter_count(iter) != 0 {
                result = match bindings::vfs_iocb_iter_read(file, iocb, iter) {
                    0 => Err(EIO),
                    n if n < 0 => Err(Error::from_errno(n as i32)),
                    _ => Ok(()),
                };
            }
            helpers::revert_creds(before);
            result
        }
    }
}

/// Reads `file`'s bytes from `pos` on into all segments of `bio`, which then ends: before this
/// returns, but where the task is interrupted. May sleep.
///
/// # Safety
///
/// `bio` is from [`FileBios::alloc`], and not begun. Its segments are writable memory that is not
/// used otherwise until its end. This is the last that is done with it.
pub(crate) unsafe fn submit(bio: *mut bindings::bio, pos: u64) {
    // SAFETY: The bio is from `FileBios::alloc`, so it has a request in front, which is not begun, and
    // nobody else has either. After an error of `read` the request was begun, as a worker wants it.
    unsafe {
        let request = Request::of(bio);
        let result = match Request::begin(request, pos) {
            Ok(()) => Request::read(request),
            Err(e) => return end(bio, Err(e)),
        };
        match result {
            Err(e) if is_interrupted(e) => (*request).bios.as_ref().hand_over(request),
            result => end(bio, result),
        }
    }
}

/// Whether a read failed with `error` for a reason of the current task: a signal, or the want of
/// memory of a task that is killed for it.
fn is_interrupted(error: Error) -> bool {
    error == EINTR || error == ERESTARTSYS || task::is_killed()
}

/// The function of a request's work item.
///
/// # Safety
///
/// Only to be called by a workqueue, with the `work` of a request that was begun.
unsafe extern "C" fn go_on(work: *mut bindings::work_struct) {
    // SAFETY: `hand_over` gave the request, which was begun, to this worker alone, and it ends here. Until then it does
    // not make a filesystem free memory: the folios that it has locked may be of inodes that nobody
    // has a reference to.
    unsafe {
        let request = kernel::container_of!(work, Request, work);
        let scope = helpers::memalloc_nofs_save();
        let result = Request::read(request);
        end(&raw mut (*request).bio, result);
        helpers::memalloc_flags_restore(scope);
    }
}

/// Ends `bio`, by its `bi_end_io`. Any context that may put a file.
///
/// # Safety
///
/// `bio` is from [`FileBios::alloc`], and this is the last that is done with it.
pub(crate) unsafe fn end(bio: *mut bindings::bio, result: Result) {
    // SAFETY: The bio has its request in front, whose reference to the file is put once, as nothing
    // is done with the bio after this. The file goes first, as the end may free what keeps the mount:
    // then this is not the reference that closes the file.
    unsafe {
        bindings::fput((*Request::of(bio)).file.as_ptr());
        if let Err(e) = result {
            (*bio).bi_status = bindings::errno_to_blk_status(e.to_errno());
        }
        bindings::bio_endio(bio);
    }
}
