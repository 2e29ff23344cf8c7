// SPDX-License-Identifier: GPL-2.0-only

//! Tracepoints that a filesystem defines in C, called from safe code.
//!
//! The C header of the tracepoints is a filesystem's own; Kbuild makes [`raw`] from it, so that a
//! declaration here that does not fit the one in C does not build.
//!
//! C headers: [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h)

use crate::{
    bindings,
    dentry::Dentry,
    registration::FileSystem, //
};

#[doc(hidden)]
#[allow(
    clippy::all,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    unreachable_pub,
    unused_imports
)]
pub mod raw {
    use crate::bindings::*;
    include!(concat!(
        env!("VFS_OBJ"),
        "/rust/bindings/trace_generated.rs"
    ));
}

mod private {
    pub trait Sealed {}
}

/// What can be given to a tracepoint: a value, or a reference to a C object that the probe looks at
/// before the call returns.
pub trait Argument: private::Sealed {
    /// The type in C.
    type Raw;

    /// As C takes it.
    fn raw(self) -> Self::Raw;
}

macro_rules! values {
    ($($type:ty)*) => {$(
        impl private::Sealed for $type {}
        impl Argument for $type {
            type Raw = Self;

            #[inline(always)]
            fn raw(self) -> Self {
                self
            }
        }
    )*};
}
values!(bool i32 u32 u64 usize);

impl<T: FileSystem> private::Sealed for &Dentry<T> {}
impl<T: FileSystem> Argument for &Dentry<T> {
    type Raw = *const bindings::dentry;

    fn raw(self) -> Self::Raw {
        self.as_ptr()
    }
}

/// Declares functions that call the tracepoints of the same names.
///
/// Each takes a closure that makes the arguments, a tuple, if and only if the tracepoint is enabled.
/// While it is not, a call costs one no-op instruction where the architecture has jump labels. May
/// be called in any context that C may call a tracepoint in.
#[macro_export]
macro_rules! tracepoints {
    ($(
        $(#[$attr:meta])*
        $vis:vis fn $name:ident $(<$life:lifetime>)? ($($arg:ident: $type:ty),* $(,)?);
    )*) => {$(
        $(#[$attr])*
        #[inline(always)]
        $vis fn $name $(<$life>)? (arguments: impl FnOnce() -> ($($type,)*)) {
            #[cfg(CONFIG_TRACEPOINTS)]
            ::kernel::macros::paste! {
                // SAFETY: the key is that of a tracepoint defined in C.
                let enabled = unsafe {
                    ::kernel::jump_label::static_branch_unlikely!(
                        $crate::trace::raw::[<__tracepoint_ $name>],
                        ::kernel::bindings::tracepoint,
                        key
                    )
                };
                if enabled {
                    let ($($arg,)*) = arguments();
                    $(let $arg = $crate::trace::Argument::raw($arg);)*
                    // SAFETY: the prototype is the one in C. An `Argument` is a value, or a C object
                    // that is borrowed until the call returns.
                    unsafe { $crate::trace::raw::[<rust_do_trace_ $name>]($($arg),*) };
                }
            }
            #[cfg(not(CONFIG_TRACEPOINTS))]
            let _ = arguments;
        }
    )*};
}
