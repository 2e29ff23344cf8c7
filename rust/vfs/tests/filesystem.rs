// SPDX-License-Identifier: GPL-2.0-only

//! A filesystem in memory, for the tests that need a mount.

use crate::{
    address_space,
    backing::BackingFile,
    bindings,
    dentry::Dentry,
    dir,
    error::from_ptr,
    folio::LockedFolio,
    fs_context::{
        Choice,
        FsContext,
        Parameter,
        Spec, //
    },
    inode::{
        self,
        Attributes,
        Found,
        Inode,
        InodeRef,
        Kind,
        NewInode,
        Stat,
        Time, //
    },
    iomap,
    readahead::Readahead,
    registrar::Registrar,
    registration::{
        Backing,
        Registration, //
    },
    super_block::{
        NewSuperBlock,
        RemountFlags,
        StatFs,
        SuperBlock, //
    },
    sysfs::{
        Attribute,
        Feature,
        Files, //
    },
    FileSystem, //
};
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::NonNull,
    sync::atomic::{
        AtomicBool,
        AtomicUsize,
        Ordering, //
    }, //
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    str::CString, //
};

pub(super) struct TestFs;

/// How many [`Data`] were dropped since the module was loaded.
static DROPPED: AtomicUsize = AtomicUsize::new(0);

pub(super) fn dropped() -> usize {
    DROPPED.load(Ordering::Relaxed)
}

/// Whether a mount fails, and forgets about its root inode.
pub(super) static FORGETFUL: AtomicBool = AtomicBool::new(false);

/// Data of an inode: counts its end.
pub(super) struct Data;

impl Drop for Data {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// The options, as they were taken in.
#[derive(Default)]
pub(super) struct Options {
    pub(super) flag: bool,
    pub(super) toggle: Option<bool>,
    pub(super) text: Option<CString>,
    pub(super) number: Option<u64>,
    pub(super) choice: Option<u32>,
}

/// Keys of inodes. What files have is told by [`BYTE`]; a bad one fails in its second half.
pub(super) const ROOT: u64 = 1;
pub(super) const FILE: u64 = 2;
pub(super) const BAD_FILE: u64 = 3;
/// What all bytes of files are.
pub(super) const BYTE: u8 = 0x5a;
/// How long files are.
pub(super) const SIZE: u64 = 3 * kernel::page::PAGE_SIZE as u64;

impl FileSystem for TestFs {
    const NAME: &'static CStr = c"vfs_test";
    const MAGIC: u32 = 0;
    const BACKING: Backing = Backing::Nothing;
    const ALLOW_IDMAP: bool = false;
    const PARAMETERS: &'static [Spec] = &[
        Spec::flag(c"flag", 0),
        Spec::flag_no(c"toggle", 1),
        Spec::string(c"text", 2),
        Spec::u64(c"number", 3),
        Spec::choice(
            c"choice",
            4,
            &[
                Choice::new(c"slow", 7),
                Choice::new(c"fast", 8),
                Choice::END,
            ],
        ),
        Spec::END,
    ];

    const FEATURES: Files<Feature> = Files::new(&[None]);
    const ATTRIBUTES: Files<Attribute<Self>> = Files::new(&[None]);

    type Context = Options;
    type SbData = ();
    type InodeData = Data;
    type Global = ();

    fn new_global(_registrar: &mut Registrar) -> Result<()> {
        Ok(())
    }

    fn new_context() -> Result<Options> {
        Ok(Options::default())
    }

    fn parse_param(options: &mut Options, _fc: &FsContext<Self>, param: Parameter<'_>) -> Result {
        match param.opt {
            0 => options.flag = param.boolean(),
            1 => options.toggle = Some(param.boolean()),
            2 => options.text = Some(CString::try_from(param.string()?)?),
            3 => options.number = Some(param.u64()),
            4 => options.choice = Some(param.choice()),
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    fn fill_super(
        sb: &mut NewSuperBlock<'_, Self>,
        _options: Options,
        _fc: &FsContext<Self>,
    ) -> Result {
        sb.set_block_size(kernel::page::PAGE_SIZE as u32)
    }

    fn root<'a>(sb: &'a SuperBlock<Self>, _fc: &FsContext<Self>) -> Result<InodeRef<'a, Self>> {
        let root = Self::iget(sb, ROOT)?;
        if FORGETFUL.load(Ordering::Relaxed) {
            core::mem::forget(root);
            return Err(ENODEV);
        }
        Ok(root)
    }

    fn reconfigure(
        _sb: &SuperBlock<Self>,
        _options: Options,
        _fc: &FsContext<Self>,
    ) -> Result<RemountFlags> {
        Err(EOPNOTSUPP)
    }

    fn statfs(_sb: &SuperBlock<Self>) -> StatFs {
        StatFs {
            blocks: 0,
            files: 0,
            files_free: 0,
            name_len: 0,
        }
    }

    fn show_options(_sb: &SuperBlock<Self>, _seq: &SeqFile) {}

    fn label(_sb: &SuperBlock<Self>) -> &[u8] {
        b""
    }

    fn iget(sb: &SuperBlock<Self>, key: u64) -> Result<InodeRef<'_, Self>> {
        match sb.iget5(key, key)? {
            Found::Ready(inode) => Ok(inode),
            Found::New(new) if key == ROOT => {
                let kind = Kind::directory::<Nodes, Nodes>();
                new.init(|| Data, &attributes(bindings::S_IFDIR, 2), kind)
            }
            Found::New(new) => init_file(new, 1),
        }
    }

    fn parent(_child: &Inode<Self>) -> Result<u64> {
        Ok(ROOT)
    }
}

pub(super) fn attributes(ifmt: u32, nlink: u32) -> Attributes {
    Attributes {
        mode: ifmt as u16 | 0o755,
        nlink,
        uid: 0,
        gid: 0,
        size: SIZE,
        blocks: 0,
        time: Time { sec: 0, nsec: 0 },
        no_acl: true,
    }
}

/// Makes a new inode a regular file.
pub(super) fn init_file(new: NewInode<'_, TestFs>, nlink: u32) -> Result<InodeRef<'_, TestFs>> {
    let kind = Kind::regular::<Nodes, Nodes>().read_by::<Nodes>();
    new.init(|| Data, &attributes(bindings::S_IFREG, nlink), kind)
}

/// What all inodes do.
pub(super) struct Nodes;

impl inode::Operations for Nodes {
    type FileSystem = TestFs;

    fn getattr(_inode: &Inode<TestFs>, _stat: &mut Stat<'_>) {}
}

impl dir::Operations for Nodes {
    fn lookup<'a>(
        dir: &'a Inode<TestFs>,
        dentry: &Dentry<TestFs>,
        _flags: u32,
    ) -> Result<Option<InodeRef<'a, TestFs>>> {
        match dentry.name() {
            b"file" => TestFs::iget(dir.super_block(), FILE).map(Some),
            _ => Ok(None),
        }
    }

    fn iterate(_dir: &Inode<TestFs>, _cursor: &mut dir::Cursor<'_>) -> Result {
        Ok(())
    }
}

impl iomap::Operations for Nodes {
    type FileSystem = TestFs;

    fn map(_inode: &Inode<TestFs>, pos: u64, len: u64) -> Result<iomap::Mapping<'_>> {
        Ok(iomap::Mapping {
            offset: pos,
            length: len,
            place: iomap::Place::Hole,
        })
    }
}

impl address_space::Operations for Nodes {
    type FileSystem = TestFs;

    fn read_folio(inode: &Inode<TestFs>, folio: LockedFolio) -> Result {
        let (mut front, rest) = folio.into_part().split(100);
        let mut rest = rest.ok_or(EINVAL)?;
        front.write(0, &[BYTE; 100])?;
        front.end(Ok(()));
        let bytes = KVec::from_elem(BYTE, rest.len(), GFP_KERNEL)?;
        rest.write(0, &bytes)?;
        // The other way to fail is to forget about it.
        if inode.key() != BAD_FILE {
            rest.end(Ok(()));
        }
        Ok(())
    }

    /// Takes one folio and leaves the others.
    fn readahead(inode: &Inode<TestFs>, mut folios: Readahead<'_>) {
        if let Some(folio) = folios.next() {
            // Nobody waits for an answer.
            let _ = Self::read_folio(inode, folio);
        }
    }
}

/// What owns queues and shrinkers.
pub(super) fn registrar() -> Registrar {
    // SAFETY: Tests drop it before they end, and what they run by it ends with that.
    unsafe { Registrar::new() }
}

/// The module is not unloaded while it tests, so the type needs no owner.
// SAFETY: null is what `THIS_MODULE` is of code that is not unloaded.
static THIS: ThisModule = unsafe { ThisModule::from_ptr(core::ptr::null_mut()) };

/// Where the type is while it is registered: lockdep wants its locks' keys to be static.
struct Slot(UnsafeCell<MaybeUninit<Registration<TestFs>>>);

// SAFETY: tests run one after the other.
unsafe impl Sync for Slot {}

static SLOT: Slot = Slot(UnsafeCell::new(MaybeUninit::uninit()));

/// Runs `test` with the type registered. Not to be nested.
pub(super) fn with_type<R>(
    test: impl FnOnce(*mut bindings::file_system_type) -> Result<R>,
) -> Result<R> {
    let slot = SLOT.0.get().cast::<Registration<TestFs>>();
    // SAFETY: nobody else uses the slot meanwhile. What is in it does not move, and is dropped before
    // the slot is used again; `test` unmounts what it mounts.
    unsafe {
        pin_init::raw_try_init(slot, Registration::<TestFs>::new(&THIS))?;
        let result = test((*slot).as_raw());
        core::ptr::drop_in_place(slot);
        result
    }
}

/// A mount of the type.
pub(super) struct Mount(NonNull<bindings::vfsmount>);

impl Mount {
    pub(super) fn super_block(&self) -> &SuperBlock<TestFs> {
        // SAFETY: the mount is of that type, so its superblock is; it goes with the mount.
        unsafe { SuperBlock::from_raw((*self.0.as_ptr()).mnt_sb) }
    }

    /// Opens the file with key [`FILE`].
    pub(super) fn open(&self) -> Result<BackingFile> {
        // SAFETY: the mount has its root, the name is a string; the file is the result's.
        unsafe {
            let root = bindings::path {
                mnt: self.0.as_ptr(),
                dentry: (*self.0.as_ptr()).mnt_root,
            };
            let flags = bindings::O_RDONLY as i32;
            let file = bindings::file_open_root(&root, c"file".as_char_ptr(), flags, 0);
            let bios = Registration::<TestFs>::files_of((*(*self.0.as_ptr()).mnt_sb).s_type.cast());
            Ok(BackingFile::from_raw(from_ptr(file, EINVAL)?, bios))
        }
    }
}

/// Runs `test` with a mount.
pub(super) fn with_mount<R>(test: impl FnOnce(&Mount) -> Result<R>) -> Result<R> {
    with_type(|fs| {
        // SAFETY: the type is registered until this closure returns.
        let mount = Mount(from_ptr(unsafe { bindings::kern_mount(fs) }, EINVAL)?);
        let result = test(&mount);
        // SAFETY: nothing of the mount is in use any more, but files that this thread put: as it is
        // the kernel's, they are put later unless told so.
        unsafe {
            bindings::flush_delayed_fput();
            bindings::kern_unmount(mount.0.as_ptr());
        }
        result
    })
}
