// SPDX-License-Identifier: GPL-2.0-only

//! The context of one `mount(2)`, `fsopen(2)` or remount: options in, superblock out.
//!
//! C headers: [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h),
//! [`include/linux/fs_parser.h`](srctree/include/linux/fs_parser.h)

use crate::{
    backing::BackingFile,
    bindings::{
        self,
        helpers, //
    },
    registration::{
        Backing,
        FileSystem,
        Registration, //
    },
    super_block::{
        self,
        NotCached,
        SbInfo,
        SuperBlock, //
    },
};
use core::{
    fmt,
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    str::CString,
    types::Opaque, //
};

/// One entry of a table of mount options, an `fs_parameter_spec`.
///
/// # Invariants
///
/// `data` fits `type`: a table of constants that an empty name ends for `fs_param_is_enum`, null
/// for the others.
#[repr(transparent)]
pub struct Spec(bindings::fs_parameter_spec);

// SAFETY: a spec is only read, and what it points to is static.
unsafe impl Sync for Spec {}

/// A named value of an option that takes one of a set ([`Spec::choice`]).
#[repr(transparent)]
pub struct Choice(bindings::constant_table);

// SAFETY: A choice is only read, and its name is static.
unsafe impl Sync for Choice {}

impl Choice {
    /// `name` stands for `value`.
    pub const fn new(name: &'static CStr, value: i32) -> Self {
        Self(bindings::constant_table {
            name: name.to_bytes_with_nul().as_ptr().cast(),
            value,
        })
    }

    /// Closes a table of choices.
    pub const END: Self = Self(pin_init::zeroed());
}

impl Spec {
    const fn new(name: &'static CStr, opt: u8, flags: u32, ty: bindings::fs_param_type) -> Self {
        // INVARIANT: no data.
        Self(bindings::fs_parameter_spec {
            name: name.to_bytes_with_nul().as_ptr().cast(),
            type_: ty,
            opt,
            flags: flags as u16,
            data: core::ptr::null(),
        })
    }

    /// `name`.
    pub const fn flag(name: &'static CStr, opt: u8) -> Self {
        Self::new(name, opt, 0, None)
    }

    /// `name` or `noname`.
    pub const fn flag_no(name: &'static CStr, opt: u8) -> Self {
        Self::new(name, opt, bindings::fs_param_neg_with_no, None)
    }

    /// `name=STRING`.
    pub const fn string(name: &'static CStr, opt: u8) -> Self {
        Self::new(name, opt, 0, Some(bindings::fs_param_is_string))
    }

    /// `name=NUMBER`, 64 bits.
    pub const fn u64(name: &'static CStr, opt: u8) -> Self {
        Self::new(name, opt, 0, Some(bindings::fs_param_is_u64))
    }

    /// `name=CHOICE`; `choices` ends with [`Choice::END`], or the build fails.
    pub const fn choice(name: &'static CStr, opt: u8, choices: &'static [Choice]) -> Self {
        assert!(!choices.is_empty() && choices[choices.len() - 1].0.name.is_null());
        let mut spec = Self::new(name, opt, 0, Some(bindings::fs_param_is_enum));
        // INVARIANT: the table is static, and was just seen to be closed.
        spec.0.data = choices.as_ptr().cast();
        spec
    }

    /// Closes a table of options.
    pub const END: Self = Self(pin_init::zeroed());
}

/// An option as the mounter gave it, parsed by its [`Spec`].
pub struct Parameter<'a> {
    /// The number of its `Spec`.
    pub opt: u8,
    result: bindings::fs_parse_result,
    string: Option<&'a CStr>,
}

impl<'a> Parameter<'a> {
    /// Of a flag: whether it was given without `no`.
    pub fn boolean(&self) -> bool {
        !self.result.negated
    }

    /// Of a choice: its value. 0 for options of other kinds.
    pub fn choice(&self) -> u32 {
        // SAFETY: the union holds only integers, and `parse_param` zeroes it before it is filled.
        unsafe { *self.result.__bindgen_anon_1.uint_32.as_ref() }
    }

    /// Of a number: its value. 0 for options of other kinds.
    pub fn u64(&self) -> u64 {
        // SAFETY: The union holds only integers, and `parse_param` zeroes it before it is filled.
        unsafe { *self.result.__bindgen_anon_1.uint_64.as_ref() }
    }

    /// Of a string: its value; `EINVAL` for options of other kinds.
    pub fn string(&self) -> Result<&'a CStr> {
        self.string.ok_or(EINVAL)
    }
}

/// A mount or remount call in progress.
#[repr(transparent)]
pub struct FsContext<T: FileSystem>(Opaque<bindings::fs_context>, PhantomData<T>);

impl<T: FileSystem> FsContext<T> {
    /// # Safety
    ///
    /// `fc` is a context of type `T`, live for `'a`.
    pub(crate) unsafe fn from_raw<'a>(fc: *mut bindings::fs_context) -> &'a Self {
        // SAFETY: `FsContext` is transparent over `fs_context`, and the caller has a live one.
        unsafe { &*fc.cast() }
    }

    /// Tells the mounter what is wrong (`errorfc`): through the descriptor of `fsopen(2)`, or the
    /// kernel log for `mount(2)`. A message that finds no memory is lost.
    pub fn error(&self, args: fmt::Arguments<'_>) {
        if let Ok(message) = CString::try_from_fmt(args) {
            // SAFETY: the context is live, the string is copied.
            unsafe { helpers::errorfc(self.0.get(), message.as_char_ptr()) };
        }
    }

    /// [`FsContext::error`], then `EINVAL` for the caller to return.
    pub fn invalid(&self, args: fmt::Arguments<'_>) -> Error {
        self.error(args);
        EINVAL
    }
}

struct Tables<T>(PhantomData<T>);

impl<T: FileSystem> Tables<T> {
    const OPS: &'static bindings::fs_context_operations = &bindings::fs_context_operations {
        free: Some(free::<T>),
        parse_param: Some(parse_param::<T>),
        get_tree: Some(get_tree::<T>),
        reconfigure: Some(reconfigure::<T>),
        ..pin_init::zeroed()
    };

    const CLOSED: () = {
        let table = T::PARAMETERS;
        assert!(!table.is_empty() && table[table.len() - 1].0.name.is_null());
    };
}

/// The `SbInfo` that a context carries until it moves to the superblock.
///
/// # Safety
///
/// `fc` is a live context of type `T` in one of its callbacks.
unsafe fn info<'a, T: FileSystem>(fc: *mut bindings::fs_context) -> Result<&'a mut SbInfo<T>> {
    // SAFETY: `s_fs_info` is null or the box made by `init_fs_context`; the callbacks of a context
    // are serialised by `uapi_mutex`, so the reference is the only one.
    unsafe { (*fc).s_fs_info.cast::<SbInfo<T>>().as_mut() }.ok_or(EINVAL)
}

/// `file_system_type.init_fs_context`.
///
/// # Safety
///
/// Only to be called by the VFS with a new context of type `T`.
pub(crate) unsafe extern "C" fn init_fs_context<T: FileSystem>(
    fc: *mut kernel::bindings::fs_context,
) -> c_int {
    let fc = fc.cast::<bindings::fs_context>();
    from_result(|| {
        let info = KBox::new(SbInfo::<T>::new(T::new_context()?), GFP_KERNEL)?;
        // SAFETY: `fc` is ours to set up; the box is freed in `free`, or by `kill_sb` once it has
        // moved to a superblock.
        unsafe {
            (*fc).s_fs_info = KBox::into_raw(info).cast();
            (*fc).ops = Tables::<T>::OPS;
        }
        Ok(0)
    })
}

/// # Safety
///
/// Only to be called by the VFS, at the end of a context of type `T`.
unsafe extern "C" fn free<T: FileSystem>(fc: *mut bindings::fs_context) {
    // SAFETY: `s_fs_info` is null if it moved to a superblock, else the box from `init_fs_context`.
    unsafe {
        let info = (*fc).s_fs_info.cast::<SbInfo<T>>();
        if !info.is_null() {
            drop(KBox::from_raw(info));
        }
    }
}

/// # Safety
///
/// Only to be called by the VFS, with a live context of type `T` and a parameter.
unsafe extern "C" fn parse_param<T: FileSystem>(
    fc: *mut bindings::fs_context,
    param: *mut bindings::fs_parameter,
) -> c_int {
    let () = Tables::<T>::CLOSED;
    from_result(|| {
        // SAFETY: The VFS calls this with a live context and a parameter, both of which are this call's
        // while it lasts.
        let (info, param) = unsafe { (info::<T>(fc)?, &mut *param) };
        // SAFETY: `key` of a parameter is a string.
        let key = unsafe { CStr::from_char_ptr(param.key) };
        // SAFETY: the union holds a file where the type says so.
        let file = unsafe { param.__bindgen_anon_1.file };
        if T::BACKING == Backing::BlockDeviceOrFile
            && key == c"source"
            && param.type_() == bindings::fs_value_type_fs_value_is_file
        {
            // SAFETY: `fc` is live.
            if info.file.is_some() || unsafe { !(*fc).source.is_null() } {
                // SAFETY: `fc` is live.
                let call = unsafe { FsContext::<T>::from_raw(fc) };
                return Err(call.invalid(fmt!("Multiple sources")));
            }
            // The caller puts the file only where it is still there.
            // SAFETY: the parameter holds a reference to an open file, which moves to us, and then to
            // a superblock of the same type.
            let file = unsafe {
                let file = NonNull::new(file).ok_or(EINVAL)?;
                BackingFile::from_raw(file, Registration::<T>::files_of((*fc).fs_type.cast()))
            };
            param.__bindgen_anon_1.file = core::ptr::null_mut();
            let source = file.path()?;
            // SAFETY: `source` of a context is freed by `kfree`; null until now.
            unsafe { (*fc).source = bindings::kstrdup(source.as_char_ptr(), VFS_GFP) };
            // SAFETY: `fc` is live.
            if unsafe { (*fc).source.is_null() } {
                return Err(ENOMEM);
            }
            info.file = Some(file);
            return Ok(0);
        }
        let mut result = bindings::fs_parse_result::default();
        // SAFETY: the table is closed, checked above; `param` and `result` are live.
        let opt = unsafe {
            bindings::__fs_parse(
                &raw mut (*fc).log,
                T::PARAMETERS.as_ptr().cast(),
                param,
                &mut result,
            )
        };
        to_result(opt)?;
        let string = if param.type_() == bindings::fs_value_type_fs_value_is_string {
            // SAFETY: by its type the parameter holds a string, or null for an empty one.
            NonNull::new(unsafe { param.__bindgen_anon_1.string })
                // SAFETY: and it lives until this callback returns.
                .map(|s| unsafe { CStr::from_char_ptr(s.as_ptr()) })
        } else {
            None
        };
        let parameter = Parameter {
            opt: opt as u8,
            result,
            string,
        };
        // SAFETY: `fc` is live.
        let fc = unsafe { FsContext::from_raw(fc) };
        T::parse_param(info.context.as_mut().ok_or(EINVAL)?, fc, parameter)?;
        Ok(0)
    })
}

const VFS_GFP: bindings::gfp_t = bindings::VFS_GFP_KERNEL;

/// # Safety
///
/// Only to be called by the VFS, with a live context of type `T`.
unsafe extern "C" fn get_tree<T: FileSystem>(fc: *mut bindings::fs_context) -> c_int {
    let fill = Some(super_block::fill_super::<T> as unsafe extern "C" fn(_, _) -> _);
    from_result(|| {
        // SAFETY: `fc` is live, and `fill_super` fits its type.
        let nodev = || to_result(unsafe { bindings::get_tree_nodev(fc, fill) });
        let invalid = |args| {
            // SAFETY: `fc` is live.
            unsafe { FsContext::<T>::from_raw(fc) }.invalid(args)
        };
        let flags = match T::BACKING {
            Backing::Nothing => return nodev().map(|()| 0),
            Backing::BlockDevice => 0,
            Backing::BlockDeviceOrFile => bindings::GET_TREE_BDEV_QUIET_LOOKUP,
        };
        // SAFETY: The VFS calls this with a live context; the reference ends before a superblock takes
        // the `SbInfo` over.
        if let Some(file) = unsafe { &info::<T>(fc)?.file } {
            if !file.is_regular() || !file.is_cached() {
                return Err(invalid(fmt!("source is unsupported")));
            }
            return nodev().map(|()| 0);
        }
        // SAFETY: `fc` is live, and `fill_super` fits its type.
        let ret = unsafe { bindings::get_tree_bdev_flags(fc, fill, flags) };
        if ret != ENOTBLK.to_errno() || T::BACKING != Backing::BlockDeviceOrFile {
            return to_result(ret).map(|()| 0);
        }
        // SAFETY: a source is null or a string that lives with the context.
        let source = NonNull::new(unsafe { (*fc).source }.cast_mut());
        let source = source.ok_or_else(|| invalid(fmt!("No source specified")))?;
        // SAFETY: The source is a string that lives with the context; `fc` is live, of a registered type, as will be the superblock.
        let file = unsafe {
            let source = CStr::from_char_ptr(source.as_ptr());
            BackingFile::open(source, Registration::<T>::files_of((*fc).fs_type.cast()))?
        };
        if !file.is_regular() {
            return Err(ENOTBLK);
        }
        if !file.is_cached() {
            let _ = invalid(format_args!("{}", NotCached(&file)));
            return Err(ENOTBLK);
        }
        // SAFETY: The context is live. Where a superblock was made that took the `SbInfo` over, it is
        // not in the context any more, and there is none.
        unsafe { info::<T>(fc)? }.file = Some(file);
        nodev().map(|()| 0)
    })
}

/// # Safety
///
/// Only to be called by the VFS, with a live context of type `T` of a mounted superblock, whose
/// `s_umount` is held for writing.
unsafe extern "C" fn reconfigure<T: FileSystem>(fc: *mut bindings::fs_context) -> c_int {
    from_result(|| {
        // SAFETY: The VFS calls this with a live context, which is this call's while it lasts.
        let context = unsafe { info::<T>(fc)? }.context.take().ok_or(EINVAL)?;
        // SAFETY: a context for a remount holds the root of a superblock of type `T`, which was
        // filled before it was mounted.
        let (sb, call) = unsafe {
            (
                SuperBlock::<T>::from_raw((*(*fc).root).d_sb),
                FsContext::<T>::from_raw(fc),
            )
        };
        let flags = T::reconfigure(sb, context, call)?;
        // SAFETY: `fc` is live.
        let sb_flags = unsafe { &mut (*fc).sb_flags };
        if flags.posix_acl {
            *sb_flags |= super_block::SB_POSIXACL;
        } else {
            *sb_flags &= !super_block::SB_POSIXACL;
        }
        *sb_flags |= super_block::SB_RDONLY;
        Ok(0)
    })
}
