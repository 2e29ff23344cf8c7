// SPDX-License-Identifier: GPL-2.0-only

//! Extended attributes and POSIX ACLs, for reading.
//!
//! A filesystem sees namespaces and the rest of names. Who may see what is decided here: `user.` by
//! [`FileSystem::user_xattrs`], `trusted.` is listed with `CAP_SYS_ADMIN` only, and ACLs where the
//! superblock has them on.
//!
//! C headers: [`include/linux/xattr.h`](srctree/include/linux/xattr.h),
//! [`include/linux/posix_acl_xattr.h`](srctree/include/linux/posix_acl_xattr.h)

use crate::{
    bindings::{
        self,
        helpers, //
    },
    inode::Inode,
    registration::FileSystem,
    super_block::SuperBlock, //
};
use core::marker::PhantomData;
use kernel::{
    error::{
        from_err_ptr,
        from_result, //
    },
    prelude::*, //
};

/// Length of a buffer on the stack that most ACLs fit in: a header and 16 entries.
const SMALL_ACL: usize = 4 + 16 * 8;

/// The prefix of an attribute's name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// `user.`
    User,
    /// `trusted.`
    Trusted,
    /// `security.`
    Security,
    /// `system.posix_acl_access`, with nothing behind it.
    AclAccess,
    /// `system.posix_acl_default`, with nothing behind it.
    AclDefault,
}

/// Where the bytes go that a caller of `getxattr(2)` or `listxattr(2)` asked for.
///
/// # Invariants
///
/// `buffer` is null, or writable for `size` bytes for `'a`; the first `done` of them are taken then.
pub struct Sink<'a> {
    buffer: *mut u8,
    size: usize,
    done: usize,
    _p: PhantomData<&'a mut [u8]>,
}

impl<'a> Sink<'a> {
    fn new(buffer: &'a mut [u8]) -> Self {
        // INVARIANT: a slice is writable.
        Self {
            buffer: buffer.as_mut_ptr(),
            size: buffer.len(),
            done: 0,
            _p: PhantomData,
        }
    }

    /// # Safety
    ///
    /// `buffer` is null, or writable for `size` bytes for `'a`.
    unsafe fn from_raw(buffer: *mut u8, size: usize) -> Self {
        // INVARIANT: as the contract says.
        Self {
            buffer,
            size,
            done: 0,
            _p: PhantomData,
        }
    }

    /// One that only counts.
    fn counter() -> Self {
        // SAFETY: null is fine.
        unsafe { Self::from_raw(core::ptr::null_mut(), 0) }
    }

    /// Takes the place of the next `len` bytes, all 0 at first. `None` if only their number is asked
    /// for. `ERANGE` if there is not enough room.
    pub fn take(&mut self, len: usize) -> Result<Option<&mut [u8]>> {
        if self.buffer.is_null() {
            self.done = self.done.saturating_add(len);
            return Ok(None);
        }
        if len > self.size - self.done {
            return Err(ERANGE);
        }
        // SAFETY: The buffer is writable for `size` bytes and nobody else's while this lives, and
        // `done + len` is within it, as was just seen. The bytes are written before a reference to
        // them is made: callers in the kernel hand in buffers as they were allocated.
        let place = unsafe {
            let start = self.buffer.add(self.done);
            start.write_bytes(0, len);
            core::slice::from_raw_parts_mut(start, len)
        };
        self.done += len;
        Ok(Some(place))
    }
}

/// A list of names in the making.
pub struct List<'a, T: FileSystem> {
    dentry: *mut bindings::dentry,
    sink: Sink<'a>,
    _p: PhantomData<T>,
}

impl<T: FileSystem> List<'_, T> {
    /// Adds the name of `namespace`, `infix` and `len` more bytes, which `read` fills in; leaves it
    /// out where it is not to be seen. `ERANGE` if there is not enough room, and errors of `read`.
    pub fn add(
        &mut self,
        namespace: Namespace,
        infix: &[u8],
        len: usize,
        read: impl FnOnce(&mut [u8]) -> Result,
    ) -> Result {
        let Some(handler) = Handlers::<T>::of(namespace) else {
            return Ok(());
        };
        // SAFETY: the dentry is that of the call, and the handler is a static of this superblock's
        // type or of the VFS; its name or prefix is a static string.
        let prefix = unsafe {
            if !helpers::xattr_handler_can_list(handler, self.dentry) {
                return Ok(());
            }
            CStr::from_char_ptr(helpers::xattr_prefix(handler)).to_bytes()
        };
        let start = prefix.len() + infix.len();
        // The last byte stays 0, and ends the name.
        if let Some(place) = self.sink.take(start + len + 1)? {
            place[..prefix.len()].copy_from_slice(prefix);
            place[prefix.len()..start].copy_from_slice(infix);
            read(&mut place[start..start + len])?;
        }
        Ok(())
    }
}

/// The handlers of a filesystem type.
pub(crate) struct Handlers<T>(PhantomData<T>);

impl<T: FileSystem> Handlers<T> {
    const USER: &'static bindings::xattr_handler = &bindings::xattr_handler {
        prefix: c"user.".to_bytes_with_nul().as_ptr(),
        list: Some(list_user::<T>),
        get: Some(get_user::<T>),
        ..pin_init::zeroed()
    };

    const TRUSTED: &'static bindings::xattr_handler = &bindings::xattr_handler {
        prefix: c"trusted.".to_bytes_with_nul().as_ptr(),
        list: Some(list_trusted),
        get: Some(get_trusted::<T>),
        ..pin_init::zeroed()
    };

    const SECURITY: &'static bindings::xattr_handler = &bindings::xattr_handler {
        prefix: c"security.".to_bytes_with_nul().as_ptr(),
        get: Some(get_security::<T>),
        ..pin_init::zeroed()
    };

    /// What `getxattr(2)` chooses from, for `super_block.s_xattr`. ACLs have a way of their own.
    pub(crate) const ALL: &'static [*const bindings::xattr_handler; 4] =
        &[Self::USER, Self::TRUSTED, Self::SECURITY, core::ptr::null()];

    fn of(namespace: Namespace) -> Option<*const bindings::xattr_handler> {
        Some(match namespace {
            Namespace::User => Self::USER,
            Namespace::Trusted => Self::TRUSTED,
            Namespace::Security => Self::SECURITY,
            #[cfg(CONFIG_FS_POSIX_ACL)]
            Namespace::AclAccess => &raw const bindings::nop_posix_acl_access,
            #[cfg(CONFIG_FS_POSIX_ACL)]
            Namespace::AclDefault => &raw const bindings::nop_posix_acl_default,
            #[cfg(not(CONFIG_FS_POSIX_ACL))]
            Namespace::AclAccess | Namespace::AclDefault => return None,
        })
    }
}

/// # Safety
///
/// Only to be called by the VFS, with a dentry on a mounted superblock of type `T`.
unsafe extern "C" fn list_user<T: FileSystem>(dentry: *mut bindings::dentry) -> bool {
    // SAFETY: The VFS calls this with a dentry on a mounted superblock of the type, which has its data.
    T::user_xattrs(unsafe { SuperBlock::from_raw((*dentry).d_sb) })
}

/// # Safety
///
/// Only to be called by the VFS.
unsafe extern "C" fn list_trusted(_dentry: *mut bindings::dentry) -> bool {
    // SAFETY: for any task.
    unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as c_int) }
}

/// # Safety
///
/// As for `xattr_handler.get`: `inode` is ready and of type `T`, `name` is null or a string,
/// and `buffer` is null or writable for `size` bytes.
unsafe fn get<T: FileSystem>(
    namespace: Namespace,
    inode: *mut bindings::inode,
    name: *const c_char,
    buffer: *mut c_void,
    size: usize,
) -> c_int {
    from_result(|| {
        if name.is_null() {
            return Err(EINVAL);
        }
        // SAFETY: The inode is ready and stays for the call, `name` was seen not to be null, and the
        // buffer is null or writable for `size` bytes: all by `xattr_handler.get`.
        let (inode, name, mut sink) = unsafe {
            (
                Inode::<T>::from_raw(inode),
                CStr::from_char_ptr(name).to_bytes(),
                Sink::from_raw(buffer.cast(), size),
            )
        };
        if namespace == Namespace::User && !T::user_xattrs(inode.super_block()) {
            return Err(EOPNOTSUPP);
        }
        T::getxattr(inode, namespace, name, &mut sink)?;
        Ok(c_int::try_from(sink.done)?)
    })
}

macro_rules! getters {
    ($($getter:ident: $namespace:ident),*) => { $(
        /// # Safety
        ///
        /// Only to be called by the VFS, with an inode of type `T`.
        unsafe extern "C" fn $getter<T: FileSystem>(
            _handler: *const bindings::xattr_handler,
            _dentry: *mut bindings::dentry,
            inode: *mut bindings::inode,
            name: *const c_char,
            buffer: *mut c_void,
            size: usize,
        ) -> c_int {
            // SAFETY: The VFS calls this with a ready inode of the type, a name that is null or a string,
            // and a buffer that is null or writable for `size` bytes.
            unsafe { get::<T>(Namespace::$namespace, inode, name, buffer, size) }
        }
    )* };
}

getters!(get_user: User, get_trusted: Trusted, get_security: Security);

/// # Safety
///
/// Only to be called by the VFS, with a positive dentry of type `T`, and with a buffer that is null
/// or writable for `size` bytes.
pub(crate) unsafe extern "C" fn listxattr<T: FileSystem>(
    dentry: *mut bindings::dentry,
    buffer: *mut c_char,
    size: usize,
) -> isize {
    from_result(|| {
        // SAFETY: The VFS calls this with a positive dentry, whose inode is ready and stays for the
        // call, and with a buffer that is null or writable for `size` bytes.
        let (inode, sink) = unsafe {
            (
                Inode::<T>::from_raw((*dentry).d_inode),
                Sink::from_raw(buffer.cast(), size),
            )
        };
        let mut list = List {
            dentry,
            sink,
            _p: PhantomData,
        };
        T::listxattr(inode, &mut list)?;
        Ok(isize::try_from(list.sink.done)?)
    })
}

/// # Safety
///
/// Only to be called by the VFS, with an inode of type `T`.
pub(crate) unsafe extern "C" fn get_inode_acl<T: FileSystem>(
    inode: *mut bindings::inode,
    kind: c_int,
    rcu: bool,
) -> *mut kernel::bindings::posix_acl {
    let acl = if rcu {
        // What follows sleeps: the path walk is to come again with references.
        Err(ECHILD)
    } else {
        // SAFETY: The VFS calls this with a ready inode, and with a reference to it where not under RCU.
        read_acl(unsafe { Inode::<T>::from_raw(inode) }, kind)
    };
    acl.unwrap_or_else(|e| e.to_ptr())
}

/// The ACL of an inode, null if it has none. The reference is the caller's.
fn read_acl<T: FileSystem>(
    inode: &Inode<T>,
    kind: c_int,
) -> Result<*mut kernel::bindings::posix_acl> {
    let namespace = match kind as u32 {
        bindings::VFS_ACL_TYPE_ACCESS => Namespace::AclAccess,
        bindings::VFS_ACL_TYPE_DEFAULT => Namespace::AclDefault,
        _ => return Err(EINVAL),
    };
    let read = |mut sink: Sink<'_>| {
        T::getxattr(inode, namespace, b"", &mut sink)?;
        Ok(sink.done)
    };
    let mut small = [0; SMALL_ACL];
    match read(Sink::new(&mut small)) {
        Ok(len) => parse_acl(inode, &small[..len]),
        Err(e) if e == ENODATA => Ok(core::ptr::null_mut()),
        Err(e) if e == ERANGE => {
            let mut large = KVec::from_elem(0u8, read(Sink::counter())?, GFP_KERNEL)?;
            let len = read(Sink::new(&mut large))?;
            parse_acl(inode, &large[..len])
        }
        Err(e) => Err(e),
    }
}

/// Parses an ACL whose ids are those of the user namespace that the superblock belongs to, as the
/// owner of the inode is.
fn parse_acl<T: FileSystem>(
    inode: &Inode<T>,
    value: &[u8],
) -> Result<*mut kernel::bindings::posix_acl> {
    if value.is_empty() {
        return Ok(core::ptr::null_mut());
    }
    // SAFETY: The inode is live, and the value is readable for its length.
    let acl = unsafe {
        helpers::posix_acl_from_xattr(inode.as_ptr(), value.as_ptr().cast(), value.len())
    };
    from_err_ptr(acl).map(|acl| acl.cast())
}
