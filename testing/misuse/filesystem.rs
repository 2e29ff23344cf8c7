// SPDX-License-Identifier: GPL-2.0-only

//! A filesystem in safe code, which each case of `test_misuse.py` is a part of.

#![forbid(unsafe_code)]
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_imports,
    unused_variables
)]

pub use core::sync::atomic::{
    AtomicUsize,
    Ordering, //
};
pub use kernel::{
    prelude::*,
    seq_file::SeqFile,
    sync::{
        Arc,
        SetOnce,
        UniqueArc, //
    }, //
};
pub use vfs::{
    address_space,
    bio::{
        Bio,
        Target, //
    },
    codec::Input,
    dentry::Dentry,
    dir,
    folio::LockedFolio,
    fs_context::{
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
    page::{
        self,
        Alloc,
        Page, //
    },
    page_bio::{
        Lent,
        PageBio, //
    },
    readahead::Readahead,
    reads::Reads,
    registrar::Registrar,
    registration::{
        Backing,
        Registration, //
    },
    shrinker::Shrink,
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
    workqueue::{
        Priority,
        Queue,
        Queues,
        Run,
        Work, //
    },
    FileSystem, //
};

pub struct Fs;

pub struct Global {
    pub queue: Queue,
}

impl FileSystem for Fs {
    const NAME: &'static CStr = c"misuse";
    const MAGIC: u32 = 0;
    const BACKING: Backing = Backing::Nothing;
    const ALLOW_IDMAP: bool = false;
    const PARAMETERS: &'static [Spec] = &[Spec::END];
    const FEATURES: Files<Feature> = Files::new(&[None]);
    const ATTRIBUTES: Files<Attribute<Self>> = Files::new(&[None]);

    type Context = ();
    type SbData = ();
    type InodeData = KVec<u8>;
    type Global = Global;

    fn new_global(registrar: &mut Registrar) -> Result<Global> {
        registrar.shrinker(c"misuse", Nothing)?;
        Ok(Global {
            queue: registrar.queue(c"misuse", Priority::Normal)?,
        })
    }

    fn new_context() -> Result<()> {
        Ok(())
    }

    fn parse_param(_context: &mut (), _fc: &FsContext<Self>, _param: Parameter<'_>) -> Result {
        Err(EINVAL)
    }

    fn fill_super(sb: &mut NewSuperBlock<'_, Self>, _context: (), _fc: &FsContext<Self>) -> Result {
        sb.set_block_size(4096)
    }

    fn root<'a>(sb: &'a SuperBlock<Self>, _fc: &FsContext<Self>) -> Result<InodeRef<'a, Self>> {
        Self::iget(sb, 1)
    }

    fn reconfigure(
        _sb: &SuperBlock<Self>,
        _context: (),
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
            Found::New(new) => init(new),
        }
    }

    fn parent(_child: &Inode<Self>) -> Result<u64> {
        Ok(1)
    }
}

pub fn attributes() -> Attributes {
    Attributes {
        mode: 0o40755,
        nlink: 2,
        uid: 0,
        gid: 0,
        size: 0,
        blocks: 0,
        time: Time { sec: 0, nsec: 0 },
        no_acl: true,
    }
}

pub fn init(new: NewInode<'_, Fs>) -> Result<InodeRef<'_, Fs>> {
    new.init(KVec::new, &attributes(), Kind::directory::<Nodes, Nodes>())
}

pub struct Nodes;

impl inode::Operations for Nodes {
    type FileSystem = Fs;

    fn getattr(_inode: &Inode<Fs>, _stat: &mut Stat<'_>) {}
}

impl dir::Operations for Nodes {
    fn lookup<'a>(
        dir: &'a Inode<Fs>,
        _dentry: &Dentry<Fs>,
        _flags: u32,
    ) -> Result<Option<InodeRef<'a, Fs>>> {
        Fs::iget(dir.super_block(), 1).map(Some)
    }

    fn iterate(_dir: &Inode<Fs>, _cursor: &mut dir::Cursor<'_>) -> Result {
        Ok(())
    }
}

impl iomap::Operations for Nodes {
    type FileSystem = Fs;

    fn map(_inode: &Inode<Fs>, pos: u64, len: u64) -> Result<iomap::Mapping<'_>> {
        Ok(iomap::Mapping {
            offset: pos,
            length: len,
            place: iomap::Place::Hole,
        })
    }
}

pub struct Nothing;

impl Shrink for Nothing {
    fn count(&self) -> usize {
        0
    }

    fn scan(&self, _nr: usize) -> usize {
        0
    }
}

pub struct Job;

impl Run for Job {
    fn class() -> vfs::workqueue::Class {
        vfs::work_class!("Job")
    }

    fn run(_this: Pin<UniqueArc<Work<Self>>>) {}
}

pub fn job() -> Result<Pin<UniqueArc<Work<Job>>>> {
    UniqueArc::pin_init(Work::new::<core::convert::Infallible>(Job), GFP_KERNEL)
}

vfs::module_filesystem! {
    type: Fs,
    name: "misuse",
    authors: ["The erofs_rs developers"],
    description: "A filesystem in safe code",
    license: "GPL",
}
