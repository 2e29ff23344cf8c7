// SPDX-License-Identifier: GPL-2.0-only
//! The system calls, as thin as possible: every wrapper returns the kernel's
//! own value or errno. All `unsafe` of this program is in this file and, for the rings, in `uring.rs`.

use std::ffi::{CStr, CString};
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

pub use libc::c_int;

/// An errno.
pub type Res<T> = Result<T, i32>;

fn errno() -> i32 {
    Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn check(ret: i64) -> Res<i64> {
    if ret < 0 {
        Err(errno())
    } else {
        Ok(ret)
    }
}

macro_rules! call {
    ($e:expr) => {
        // SAFETY: arguments are live buffers with their true lengths, or integers.
        check(i64::from(unsafe { $e }))
    };
}

pub fn cstr(bytes: &[u8]) -> CString {
    CString::new(bytes).expect("paths have no NUL")
}

pub fn join(dir: &CStr, name: &[u8]) -> CString {
    let mut path = dir.to_bytes().to_vec();
    path.push(b'/');
    path.extend_from_slice(name);
    cstr(&path)
}

pub fn open(path: &CStr, flags: c_int) -> Res<OwnedFd> {
    let fd = call!(libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0o600))?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

pub fn openat(dir: &OwnedFd, name: &CStr, flags: c_int) -> Res<OwnedFd> {
    let fd = call!(libc::openat(
        dir.as_raw_fd(),
        name.as_ptr(),
        flags | libc::O_CLOEXEC
    ))?;
    // SAFETY: The descriptor was just opened, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// The raw bytes of `struct statx`.
pub type Statx = [u8; 256];

pub fn statx(dir: RawFd, path: &CStr, flags: c_int, mask: u32) -> Res<Box<Statx>> {
    let mut buf = Box::new([0u8; 256]);
    call!(libc::syscall(
        libc::SYS_statx,
        dir,
        path.as_ptr(),
        flags,
        mask,
        buf.as_mut_ptr()
    ))?;
    Ok(buf)
}

/// The words of `struct statfs`.
pub type Statfs = [i64; 15];

pub fn statfs(path: &CStr) -> Res<Statfs> {
    let mut s = [0; 15];
    call!(libc::syscall(
        libc::SYS_statfs,
        path.as_ptr(),
        s.as_mut_ptr()
    ))?;
    Ok(s)
}

pub fn fstatfs(fd: &OwnedFd) -> Res<Statfs> {
    let mut s = [0; 15];
    call!(libc::syscall(
        libc::SYS_fstatfs,
        fd.as_raw_fd(),
        s.as_mut_ptr()
    ))?;
    Ok(s)
}

/// One call of getdents64: the raw records.
pub fn getdents(fd: &OwnedFd, buf: &mut [u8]) -> Res<usize> {
    call!(libc::syscall(
        libc::SYS_getdents64,
        fd.as_raw_fd(),
        buf.as_mut_ptr(),
        buf.len()
    ))
    .map(|n| n as usize)
}

pub fn lseek(fd: &OwnedFd, off: i64, whence: c_int) -> Res<i64> {
    call!(libc::lseek(fd.as_raw_fd(), off, whence))
}

pub fn readlink(path: &CStr, size: usize) -> Res<Vec<u8>> {
    let mut buf = vec![0u8; size];
    let n = call!(libc::readlink(path.as_ptr(), buf.as_mut_ptr().cast(), size) as i64)?;
    buf.truncate(n as usize);
    Ok(buf)
}

/// `size` 0 asks for the length; then the value is empty.
pub fn listxattr(path: &CStr, size: usize) -> Res<(i64, Vec<u8>)> {
    let mut buf = vec![0u8; size];
    let n = call!(libc::llistxattr(path.as_ptr(), buf.as_mut_ptr().cast(), size) as i64)?;
    buf.truncate(n as usize);
    Ok((n, buf))
}

pub fn getxattr(path: &CStr, name: &CStr, size: usize) -> Res<(i64, Vec<u8>)> {
    let mut buf = vec![0u8; size];
    let n =
        call!(libc::lgetxattr(path.as_ptr(), name.as_ptr(), buf.as_mut_ptr().cast(), size) as i64)?;
    buf.truncate(n as usize);
    Ok((n, buf))
}

pub fn setxattr(path: &CStr, name: &CStr, value: &[u8]) -> Res<i64> {
    call!(libc::lsetxattr(
        path.as_ptr(),
        name.as_ptr(),
        value.as_ptr().cast(),
        value.len(),
        0
    ))
}

pub fn removexattr(path: &CStr, name: &CStr) -> Res<i64> {
    call!(libc::lremovexattr(path.as_ptr(), name.as_ptr()))
}

pub fn pread(fd: &OwnedFd, buf: &mut [u8], off: i64) -> Res<usize> {
    call!(libc::pread(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), off) as i64)
        .map(|n| n as usize)
}

pub fn read(fd: &OwnedFd, buf: &mut [u8]) -> Res<usize> {
    call!(libc::read(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) as i64).map(|n| n as usize)
}

/// Reads through a mapping. The bytes leave it by write(2), so that a page
/// that cannot be read is EFAULT here and not a signal.
pub fn mmap_read(fd: &OwnedFd, off: i64, len: usize, flags: c_int) -> Res<Vec<u8>> {
    let out = memfd()?;
    // SAFETY: a fresh mapping at an address of the kernel's choice; it is only
    // handed to write(2) and unmapped below.
    let map = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ,
            flags,
            fd.as_raw_fd(),
            off,
        )
    };
    if map == libc::MAP_FAILED {
        return Err(errno());
    }
    let mut done = 0;
    let mut res = Ok(0);
    while done < len {
        res = call!(libc::write(out.as_raw_fd(), map.byte_add(done), len - done) as i64);
        match res {
            Ok(n) if n > 0 => done += n as usize,
            _ => break,
        }
    }
    // SAFETY: the mapping made above.
    unsafe { libc::munmap(map, len) };
    if done == 0 {
        res?;
    }
    slurp(&out)
}

pub fn mmap_shared_writable(fd: &OwnedFd) -> Res<i64> {
    // SAFETY: The kernel chooses where it maps; it is unmapped at once, and not looked at.
    let map = unsafe {
        let rw = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            rw,
            libc::MAP_SHARED,
            fd.as_raw_fd(),
            0,
        )
    };
    if map == libc::MAP_FAILED {
        return Err(errno());
    }
    call!(libc::munmap(map, 4096))
}

/// A mapping of a file from its begin.
pub struct Mapping {
    at: *mut libc::c_void,
    len: usize,
}

impl Mapping {
    pub fn new(fd: &OwnedFd, len: usize, prot: c_int, flags: c_int) -> Res<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, fd.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED {
            return Err(errno());
        }
        Ok(Self { at, len })
    }

    pub fn address(&self) -> usize {
        self.at as usize
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn advise(&self, advice: c_int) -> Res<i64> {
        call!(libc::madvise(self.at, self.len, advice))
    }

    /// Faults each page in.
    pub fn touch(&self) -> Res<i64> {
        for page in (0..self.len).step_by(4096) {
            // SAFETY: the mapping is readable; a page that cannot be read ends the program.
            unsafe { self.at.cast::<u8>().add(page).read_volatile() };
        }
        Ok(0)
    }

    /// Its bytes. They leave it by write(2), as in `mmap_read`.
    pub fn bytes(&self) -> Res<Vec<u8>> {
        let out = memfd()?;
        let mut done = 0;
        while done < self.len {
            let left = self.len - done;
            match call!(libc::write(out.as_raw_fd(), self.at.byte_add(done), left) as i64)? {
                0 => return Err(libc::EIO),
                n => done += n as usize,
            }
        }
        slurp(&out)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made.
        unsafe { libc::munmap(self.at, self.len) };
    }
}

pub fn memfd() -> Res<OwnedFd> {
    let fd = call!(libc::memfd_create(c"treecmp".as_ptr(), libc::MFD_CLOEXEC))?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// All bytes of a memfd.
fn slurp(fd: &OwnedFd) -> Res<Vec<u8>> {
    let mut buf = vec![0u8; lseek(fd, 0, libc::SEEK_END)? as usize];
    let mut done = 0;
    while done < buf.len() {
        // A failed copy to user space makes a read short.
        match pread(fd, &mut buf[done..], done as i64)? {
            0 => return Err(libc::EIO),
            n => done += n,
        }
    }
    Ok(buf)
}

pub fn sendfile_read(fd: &OwnedFd, off: i64, len: usize) -> Res<Vec<u8>> {
    let out = memfd()?;
    let mut pos = off;
    while call!(libc::sendfile(out.as_raw_fd(), fd.as_raw_fd(), &mut pos, len) as i64)? > 0 {
        if pos - off >= len as i64 {
            break;
        }
    }
    slurp(&out)
}

pub fn splice_read(fd: &OwnedFd, off: i64, len: usize) -> Res<Vec<u8>> {
    let mut ends = [0; 2];
    call!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
    // SAFETY: two new descriptors that nobody else owns.
    let (rx, tx) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    let (mut pos, end, mut out) = (off, off + len as i64, vec![]);
    while pos < end {
        let want = (end - pos).min(32768) as usize;
        let n = call!(libc::splice(
            fd.as_raw_fd(),
            &mut pos,
            tx.as_raw_fd(),
            std::ptr::null_mut(),
            want,
            0
        ) as i64)?;
        if n == 0 {
            break;
        }
        let mut buf = vec![0u8; n as usize];
        read(&rx, &mut buf)?;
        out.extend_from_slice(&buf);
    }
    Ok(out)
}

/// A buffer for direct I/O, aligned to a page.
#[repr(align(4096))]
pub struct Aligned(pub [u8; 1 << 17]);

/// ioctl with a buffer that the kernel reads and writes.
pub fn ioctl(fd: &OwnedFd, req: u64, buf: &mut [u8]) -> Res<i64> {
    // SAFETY: the callers size `buf` for the request (`_IOC_SIZE` or more).
    check(i64::from(unsafe {
        libc::ioctl(fd.as_raw_fd(), req as _, buf.as_mut_ptr())
    }))
}

pub fn fadvise(fd: &OwnedFd, advice: c_int) -> Res<i64> {
    // posix_fadvise returns the errno itself.
    match call!(libc::posix_fadvise(fd.as_raw_fd(), 0, 0, advice))? {
        0 => Ok(0),
        e => Err(e as i32),
    }
}

pub fn readahead(fd: &OwnedFd, off: i64, len: usize) -> Res<i64> {
    call!(libc::readahead(fd.as_raw_fd(), off, len) as i64)
}

pub fn fsync(fd: &OwnedFd) -> Res<i64> {
    call!(libc::fsync(fd.as_raw_fd()))
}

pub fn fallocate(fd: &OwnedFd, mode: c_int) -> Res<i64> {
    call!(libc::fallocate(fd.as_raw_fd(), mode, 0, 4096))
}

pub fn fcntl(fd: &OwnedFd, cmd: c_int, arg: c_int) -> Res<i64> {
    call!(libc::fcntl(fd.as_raw_fd(), cmd, arg))
}

pub fn access(path: &CStr, mode: c_int) -> Res<i64> {
    call!(libc::access(path.as_ptr(), mode))
}

/// A handle's type and bytes, or the errno and the size it asks for.
pub fn name_to_handle(path: &CStr, room: u32, flags: c_int) -> Res<Vec<u8>> {
    let mut buf = vec![0u8; 8 + 128];
    buf[..4].copy_from_slice(&room.to_ne_bytes());
    let mut mnt = 0i32;
    call!(libc::syscall(
        libc::SYS_name_to_handle_at,
        libc::AT_FDCWD,
        path.as_ptr(),
        buf.as_mut_ptr(),
        &mut mnt,
        flags
    ))?;
    let len = u32::from_ne_bytes([buf[0], buf[1], buf[2], buf[3]]) as usize;
    buf.truncate(8 + len);
    Ok(buf)
}

pub fn open_by_handle(mount: &OwnedFd, handle: &mut [u8], flags: c_int) -> Res<OwnedFd> {
    let fd = call!(libc::syscall(
        libc::SYS_open_by_handle_at,
        mount.as_raw_fd(),
        handle.as_mut_ptr(),
        flags | libc::O_CLOEXEC
    ))?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// The calls that change a tree, each on one path (and a second one).
pub fn mutate(op: &str, path: &CStr, other: &CStr) -> Res<i64> {
    let (p, o) = (path.as_ptr(), other.as_ptr());
    let times = [libc::timespec {
        tv_sec: 1,
        tv_nsec: 2,
    }; 2];
    match op {
        "create" => open(path, libc::O_CREAT | libc::O_WRONLY).map(|_| 0),
        "create-excl" => open(path, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY).map(|_| 0),
        "open-wronly" => open(path, libc::O_WRONLY | libc::O_NOFOLLOW).map(|_| 0),
        "open-rdwr" => open(path, libc::O_RDWR | libc::O_NOFOLLOW).map(|_| 0),
        "open-append" => open(path, libc::O_WRONLY | libc::O_APPEND | libc::O_NOFOLLOW).map(|_| 0),
        "open-trunc" => open(path, libc::O_RDONLY | libc::O_TRUNC | libc::O_NOFOLLOW).map(|_| 0),
        "open-tmpfile" => open(path, libc::O_TMPFILE | libc::O_RDWR).map(|_| 0),
        "mkdir" => call!(libc::mkdir(p, 0o755)),
        "mknod" => call!(libc::mknod(p, libc::S_IFIFO | 0o600, 0)),
        "symlink" => call!(libc::symlink(c"target".as_ptr(), p)),
        "link" => call!(libc::link(o, p)),
        "unlink" => call!(libc::unlink(p)),
        "rmdir" => call!(libc::rmdir(p)),
        "rename-from" => call!(libc::rename(p, o)),
        "exchange" => call!(libc::renameat2(
            libc::AT_FDCWD,
            p,
            libc::AT_FDCWD,
            o,
            libc::RENAME_EXCHANGE
        )),
        "chmod" => call!(libc::chmod(p, 0o777)),
        "chown" => call!(libc::lchown(p, 1, 1)),
        "truncate" => call!(libc::truncate(p, 1)),
        "utimens" => {
            call!(libc::utimensat(
                libc::AT_FDCWD,
                p,
                times.as_ptr(),
                libc::AT_SYMLINK_NOFOLLOW
            ))
        }
        _ => unreachable!("{op} is no mutation"),
    }
}

pub fn mount(dev: &CStr, dir: &CStr, fstype: &CStr, flags: u64, data: &CStr) -> Res<i64> {
    call!(libc::mount(
        dev.as_ptr(),
        dir.as_ptr(),
        fstype.as_ptr(),
        flags,
        data.as_ptr().cast()
    ))
}

pub fn umount(dir: &CStr) -> Res<i64> {
    call!(libc::umount2(dir.as_ptr(), 0))
}

/// This program ends after so many seconds, 0 for never.
pub fn alarm(seconds: u32) {
    // SAFETY: no memory is involved.
    unsafe { libc::alarm(seconds) };
}

/// The errno's name, as the kernel spells it.
pub fn errname(e: i32) -> String {
    const NAMES: &[(i32, &str)] = &[
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::EINTR, "EINTR"),
        (libc::EIO, "EIO"),
        (libc::ENXIO, "ENXIO"),
        (libc::E2BIG, "E2BIG"),
        (libc::EBADF, "EBADF"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::ENOMEM, "ENOMEM"),
        (libc::EACCES, "EACCES"),
        (libc::EFAULT, "EFAULT"),
        (libc::ENOTBLK, "ENOTBLK"),
        (libc::EBUSY, "EBUSY"),
        (libc::EEXIST, "EEXIST"),
        (libc::EXDEV, "EXDEV"),
        (libc::ENODEV, "ENODEV"),
        (libc::ENOTDIR, "ENOTDIR"),
        (libc::EISDIR, "EISDIR"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENOTTY, "ENOTTY"),
        (libc::EFBIG, "EFBIG"),
        (libc::ENOSPC, "ENOSPC"),
        (libc::ESPIPE, "ESPIPE"),
        (libc::EROFS, "EROFS"),
        (libc::EMLINK, "EMLINK"),
        (libc::ERANGE, "ERANGE"),
        (libc::ENAMETOOLONG, "ENAMETOOLONG"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::ELOOP, "ELOOP"),
        (libc::ENODATA, "ENODATA"),
        (libc::EOVERFLOW, "EOVERFLOW"),
        (libc::ESTALE, "ESTALE"),
        (libc::EUCLEAN, "EUCLEAN"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP"),
        (libc::EBADMSG, "EBADMSG"),
        (libc::ENOMEDIUM, "ENOMEDIUM"),
        (libc::ECANCELED, "ECANCELED"),
    ];
    NAMES
        .iter()
        .find(|n| n.0 == e)
        .map_or_else(|| format!("errno {e}"), |n| n.1.into())
}
