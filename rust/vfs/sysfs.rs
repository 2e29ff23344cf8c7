// SPDX-License-Identifier: GPL-2.0-only

//! `/sys/fs/TYPE`: a directory of a filesystem type, and in it one of each superblock.
//!
//! | path | made | gone |
//! | --- | --- | --- |
//! | `/sys/fs/TYPE/features/*` | before the type is registered | after it is unregistered |
//! | `/sys/fs/TYPE/DEVICE/*` | when the root is there, before `FileSystem::mounted` | as the first one of `put_super` |
//!
//! A file's callback runs only while its directory is there: `kobject_del` waits for those under
//! way. The memory of a kobject is the C core's until it is released, which is waited for, too.
//!
//! C headers: [`include/linux/kobject.h`](srctree/include/linux/kobject.h),
//! [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::{
    bindings,
    registration::FileSystem,
    super_block::SuperBlock, //
};
use core::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    ptr::NonNull,
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    }, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    page::PAGE_SIZE,
    prelude::*,
    types::Opaque, //
};

const READ: u16 = 0o444;
const WRITE: u16 = 0o200;

// Lockdep adds fields to it.
#[allow(clippy::needless_update)]
const fn attribute(name: &'static CStr, mode: u16) -> bindings::attribute {
    bindings::attribute {
        name: name.to_bytes_with_nul().as_ptr().cast(),
        mode,
        ..pin_init::zeroed()
    }
}

/// A file in `features`, which reads "supported".
#[repr(transparent)]
pub struct Feature(bindings::attribute);

impl Feature {
    /// A file `name`.
    pub const fn new(name: &'static CStr) -> Self {
        Self(attribute(name, READ))
    }
}

/// A file in the directory of a superblock.
#[repr(C)]
pub struct Attribute<T: FileSystem> {
    raw: bindings::attribute,
    show: Option<Show<T>>,
    store: Option<Store<T>>,
}

/// Writes what a file reads; what is past a page is cut off. May sleep.
pub type Show<T> = fn(&SuperBlock<T>, &mut dyn fmt::Write) -> Result;

/// Takes in what was written to a file. May sleep.
pub type Store<T> = fn(&SuperBlock<T>, &CStr) -> Result;

impl<T: FileSystem> Attribute<T> {
    /// A file `name` that all may read if there is `show`, and its owner may write if there is
    /// `store`.
    pub const fn new(name: &'static CStr, show: Option<Show<T>>, store: Option<Store<T>>) -> Self {
        let mode = if show.is_some() { READ } else { 0 } | if store.is_some() { WRITE } else { 0 };
        Self {
            raw: attribute(name, mode),
            show,
            store,
        }
    }
}

/// The files of a directory; `A` is [`Feature`] or [`Attribute`].
///
/// # Invariants
///
/// The last entry is `None`, and no other: so it is a NULL-terminated array of pointers to
/// `struct attribute`, with which both kinds of `A` begin.
pub struct Files<A: 'static>(&'static [Option<&'static A>]);

impl<A> Files<A> {
    /// The files of `list`, which ends with the only `None` in it, or the build fails.
    pub const fn new(list: &'static [Option<&'static A>]) -> Self {
        let mut n = 0;
        while list[n].is_some() {
            n += 1;
        }
        assert!(n + 1 == list.len());
        Self(list)
    }

    const fn group(&self) -> bindings::attribute_group {
        bindings::attribute_group {
            __bindgen_anon_2: bindings::attribute_group__bindgen_ty_2 {
                attrs_const: self.0.as_ptr().cast(),
            },
            ..pin_init::zeroed()
        }
    }
}

/// The number in `text`, as the kernel's other files take it: any base that C writes, blanks before
/// it, a newline after it. `EINVAL` if it is none, `ERANGE` if it is too large.
pub fn parse_u32(text: &CStr) -> Result<u32> {
    let mut value = 0;
    // SAFETY: the string ends with a NUL, and so does its tail.
    to_result(unsafe {
        bindings::kstrtoull(bindings::skip_spaces(text.as_char_ptr()), 0, &mut value)
    })?;
    u32::try_from(value).map_err(|_| ERANGE)
}

/// A kobject in memory of ours.
struct Node {
    kobj: Opaque<bindings::kobject>,
    gone: Opaque<bindings::completion>,
}

impl Node {
    const fn new() -> Self {
        Self {
            kobj: Opaque::uninit(),
            gone: Opaque::uninit(),
        }
    }

    /// Makes the directory `name` in that of `kset`, with the files of `ktype`. On error nothing
    /// stays behind.
    ///
    /// # Safety
    ///
    /// - It is not added, and does not move while it is.
    /// - `kset` is registered until after [`Self::remove`], and `name` ends with a NUL.
    /// - `ktype` has [`Self::release`], and callbacks that may be called until `remove`.
    unsafe fn add(
        &self,
        kset: *mut bindings::kset,
        ktype: &'static bindings::kobj_type,
        name: *const kernel::ffi::c_char,
    ) -> Result {
        // SAFETY: the memory is ours as long as it is not added; a kobject begins as zeroes. What is
        // not added is released by its last put.
        unsafe {
            bindings::init_completion(self.gone.get());
            self.kobj.get().write(pin_init::zeroed());
            (*self.kobj.get()).kset = kset;
            to_result(bindings::kobject_init_and_add(
                self.kobj.get(),
                ktype,
                core::ptr::null_mut(),
                c"%s".as_char_ptr(),
                name,
            ))
            .inspect_err(|_| self.put())
        }
    }

    /// Removes the directory; no callback of its files is under way, nor will be called.
    ///
    /// # Safety
    ///
    /// It was added.
    unsafe fn remove(&self) {
        // SAFETY: it is a kobject in sysfs, whose reference is ours.
        unsafe {
            bindings::kobject_del(self.kobj.get());
            self.put();
        }
    }

    /// # Safety
    ///
    /// It was initialised, and the reference of `add` is still there.
    unsafe fn put(&self) {
        // SAFETY: The kobject was initialised, and the reference is that of `add`. Others who have one
        // use it for a moment only, and the last of them completes `gone`.
        unsafe {
            bindings::kobject_put(self.kobj.get());
            bindings::wait_for_completion(self.gone.get());
        }
    }

    /// # Safety
    ///
    /// Only to be called by the kobject core, with a `kobj` of a `Node` that nobody uses any more.
    unsafe extern "C" fn release(kobj: *mut bindings::kobject) {
        // SAFETY: The kobject is that of a `Node`, which lives until `gone` completes: `put` waits for
        // it.
        unsafe {
            let node = kernel::container_of!(Opaque::cast_from(kobj), Self, kobj);
            bindings::complete((*node).gone.get());
        }
    }
}

/// The directory of a filesystem type, with the one of its features.
#[pin_data(PinnedDrop)]
pub(crate) struct TypeDirectory<T: FileSystem> {
    kset: NonNull<bindings::kset>,
    #[pin]
    features: Node,
    _p: PhantomData<T>,
}

impl<T: FileSystem> TypeDirectory<T> {
    const GROUPS: &'static [*const bindings::attribute_group] =
        &[&T::FEATURES.group(), core::ptr::null()];

    const KTYPE: &'static bindings::kobj_type = &bindings::kobj_type {
        release: Some(Node::release),
        sysfs_ops: &bindings::sysfs_ops {
            show: Some(show_feature),
            store: None,
        },
        default_groups: Self::GROUPS.as_ptr().cast_mut(),
        ..pin_init::zeroed()
    };

    /// Makes them. `ENOMEM`, also where `/sys/fs` has such a name.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        // SAFETY: on success every field is initialised; on failure nothing stays behind.
        unsafe {
            pin_init::pin_init_from_closure(|slot: *mut Self| {
                let kset = bindings::kset_create_and_add(
                    T::NAME.as_char_ptr(),
                    core::ptr::null(),
                    bindings::fs_kobj,
                );
                let set = NonNull::new(kset).ok_or(ENOMEM)?;
                (&raw mut (*slot).kset).write(set);
                (&raw mut (*slot).features).write(Node::new());
                (*slot)
                    .features
                    .add(kset, Self::KTYPE, c"features".as_char_ptr())
                    .inspect_err(|_| bindings::kset_unregister(kset))
            })
        }
    }
}

#[pinned_drop]
impl<T: FileSystem> PinnedDrop for TypeDirectory<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: both were added by `new`. The directories of superblocks are gone: the type is
        // unregistered. The set's memory is the C core's.
        unsafe {
            self.features.remove();
            bindings::kset_unregister(self.kset.as_ptr());
        }
    }
}

/// # Safety
///
/// Only to be called by sysfs, with a page of zeroes.
unsafe extern "C" fn show_feature(
    _kobj: *mut bindings::kobject,
    _attr: *mut bindings::attribute,
    buf: *mut kernel::ffi::c_char,
) -> isize {
    // SAFETY: sysfs calls this with a page of zeroes, which is this call's.
    let mut page = unsafe { Page::from_raw(buf) };
    let _ = fmt::Write::write_str(&mut page, "supported\n");
    page.len as isize
}

/// The directory of a superblock; inert until it is added.
pub(crate) struct Directory<T: FileSystem> {
    node: Node,
    /// The superblock that it is of while it is there.
    sb: AtomicPtr<bindings::super_block>,
    _p: PhantomData<T>,
}

impl<T: FileSystem> Directory<T> {
    const GROUPS: &'static [*const bindings::attribute_group] =
        &[&T::ATTRIBUTES.group(), core::ptr::null()];

    const KTYPE: &'static bindings::kobj_type = &bindings::kobj_type {
        release: Some(Node::release),
        sysfs_ops: &bindings::sysfs_ops {
            show: Some(Self::show),
            store: Some(Self::store),
        },
        default_groups: Self::GROUPS.as_ptr().cast_mut(),
        ..pin_init::zeroed()
    };

    pub(crate) const fn new() -> Self {
        Self {
            node: Node::new(),
            sb: AtomicPtr::new(core::ptr::null_mut()),
            _p: PhantomData,
        }
    }

    /// Makes the directory, named as `FS_IOC_GETFSSYSFSPATH` tells. `EEXIST` if there is one of that
    /// name. May sleep.
    ///
    /// # Safety
    ///
    /// It is not added, and does not move until [`Self::remove`], which is called before the data of
    /// `sb` goes. `of` is the directory of the type of `sb`.
    pub(crate) unsafe fn add(&self, sb: &SuperBlock<T>, of: &TypeDirectory<T>) -> Result {
        // A file may be opened before `kobject_init_and_add` returns.
        self.sb.store(sb.as_ptr(), Ordering::Relaxed);
        // SAFETY: The caller adds it once, and does not move it until `remove`, after which no callback
        // runs. The type's directory stays, as the module does, while there are superblocks; the
        // name ends with a NUL within its array; `KTYPE` releases by `Node::release`.
        unsafe {
            let name = (*sb.as_ptr()).s_sysfs_name.as_ptr();
            self.node.add(of.kset.as_ptr(), Self::KTYPE, name)
        }
        .inspect_err(|_| self.sb.store(core::ptr::null_mut(), Ordering::Relaxed))
    }

    /// Removes the directory, if it was added. May sleep.
    pub(crate) fn remove(&self) {
        if !self
            .sb
            .swap(core::ptr::null_mut(), Ordering::Relaxed)
            .is_null()
        {
            // SAFETY: a superblock is there after an `add` that succeeded, and only until now.
            unsafe { self.node.remove() };
        }
    }

    /// The superblock and the file of a callback.
    ///
    /// # Safety
    ///
    /// Only to be called in a callback of [`Self::KTYPE`], with its `kobj` and `attr`.
    unsafe fn resolve<'a>(
        kobj: *mut bindings::kobject,
        attr: *mut bindings::attribute,
    ) -> Option<(&'a SuperBlock<T>, &'a Attribute<T>)> {
        // SAFETY: a kobject of this type is in a `Directory<T>`, which stays while a callback runs,
        // and so does the superblock with its data; every `attr` of the type begins an
        // `Attribute<T>` of `T::ATTRIBUTES`.
        unsafe {
            let node = kernel::container_of!(Opaque::cast_from(kobj), Node, kobj);
            let sb = (*kernel::container_of!(node, Self, node))
                .sb
                .load(Ordering::Relaxed);
            // Null where `remove` is waiting for this very callback.
            NonNull::new(sb).map(|sb| (SuperBlock::from_raw(sb.as_ptr()), &*attr.cast()))
        }
    }

    /// # Safety
    ///
    /// Only to be called by sysfs, with a page of zeroes.
    unsafe extern "C" fn show(
        kobj: *mut bindings::kobject,
        attr: *mut bindings::attribute,
        buf: *mut kernel::ffi::c_char,
    ) -> isize {
        from_result(|| {
            // SAFETY: This is a callback of `KTYPE`, with its `kobj` and `attr`.
            let (sb, file) = unsafe { Self::resolve(kobj, attr) }.ok_or(ENODEV)?;
            // SAFETY: sysfs calls this with a page of zeroes, which is this call's.
            let mut page = unsafe { Page::from_raw(buf) };
            file.show.ok_or(EIO)?(sb, &mut page)?;
            Ok(page.len as isize)
        })
    }

    /// # Safety
    ///
    /// Only to be called by sysfs, with `len` bytes and a NUL at `buf`.
    unsafe extern "C" fn store(
        kobj: *mut bindings::kobject,
        attr: *mut bindings::attribute,
        buf: *const kernel::ffi::c_char,
        len: usize,
    ) -> isize {
        from_result(|| {
            // SAFETY: This is a callback of `KTYPE`, with its `kobj` and `attr`.
            let (sb, file) = unsafe { Self::resolve(kobj, attr) }.ok_or(ENODEV)?;
            // SAFETY: sysfs calls this with `len` bytes and a NUL behind them, which nobody else uses.
            // There may be more NULs before the last.
            let text = unsafe { CStr::from_char_ptr(buf) };
            file.store.ok_or(EIO)?(sb, text)?;
            Ok(len as isize)
        })
    }
}

/// The page that a file's text goes to.
struct Page<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl Page<'_> {
    /// # Safety
    ///
    /// At `buf` there is a page of initialised bytes that is the caller's for `'a`.
    unsafe fn from_raw(buf: *mut kernel::ffi::c_char) -> Self {
        Self {
            // SAFETY: The caller has a page of initialised bytes there, which is its own for `'a`.
            bytes: unsafe { core::slice::from_raw_parts_mut(buf.cast(), PAGE_SIZE) },
            len: 0,
        }
    }
}

impl fmt::Write for Page<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.len..PAGE_SIZE - 1];
        let n = text.len().min(room.len());
        room[..n].copy_from_slice(&text.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}
