// SPDX-License-Identifier: GPL-2.0-only

//! Conversions between C results and [`Result`].

use kernel::error::{
    from_result,
    Error,
    Result, //
};

/// The negative errno of `err`, or 0.
pub(crate) fn to_c(ret: Result) -> i32 {
    from_result(|| ret.map(|()| 0))
}

/// An error from a positive errno; what is no errno at all becomes `EINVAL`.
pub fn from_positive(errno: i32) -> Error {
    Error::from_errno(errno.checked_neg().unwrap_or(0))
}

/// `Ok` of a pointer that C returns as valid, `ERR_PTR` or null; null becomes `null`.
pub(crate) fn from_ptr<T>(ptr: *mut T, null: Error) -> Result<core::ptr::NonNull<T>> {
    core::ptr::NonNull::new(kernel::error::from_err_ptr(ptr)?).ok_or(null)
}
