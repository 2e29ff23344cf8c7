// SPDX-License-Identifier: GPL-2.0-only

//! Registration of a filesystem type.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::{
    bindings::{
        self,
        helpers, //
    },
    file_bio::FileBios,
    fs_context::{
        self,
        FsContext,
        Parameter,
        Spec, //
    },
    inode::{
        Inode,
        InodeRef,
        WithData, //
    },
    registrar::Registrar,
    super_block::{
        NewSuperBlock,
        RemountFlags,
        StatFs,
        SuperBlock, //
    },
    sysfs::{
        Attribute,
        Feature,
        Files,
        TypeDirectory, //
    },
    xattr::{
        List,
        Namespace,
        Sink, //
    },
};
use core::{
    marker::{
        PhantomData,
        PhantomPinned, //
    },
    pin::Pin,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    seq_file::SeqFile,
    types::Opaque, //
};

/// What a superblock stands on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Backing {
    /// A block device (`get_tree_bdev`).
    BlockDevice,
    /// A block device, or a regular file where the source is none (`get_tree_nodev`).
    BlockDeviceOrFile,
    /// Nothing (`get_tree_nodev`): the superblock has no device and no file.
    Nothing,
}

/// A filesystem type.
///
/// The implementing type is a tag: it is never instantiated. Its associated types are what C keeps
/// behind `fs_context.fs_private`, `super_block.s_fs_info` and the fields around `struct inode`.
pub trait FileSystem: Sized + Send + Sync + 'static {
    /// Name of the type, as in `mount -t NAME`.
    const NAME: &'static CStr;

    /// Magic number of its superblocks, as in `statfs(2)`.
    const MAGIC: u32;

    /// What its superblocks stand on.
    const BACKING: Backing;

    /// Whether idmapped mounts are allowed (`FS_ALLOW_IDMAP`).
    const ALLOW_IDMAP: bool;

    /// The mount options it knows.
    const PARAMETERS: &'static [Spec];

    /// What it says in `/sys/fs/NAME/features` that it supports.
    const FEATURES: Files<Feature>;

    /// The files of a superblock, in `/sys/fs/NAME/DEVICE`.
    const ATTRIBUTES: Files<Attribute<Self>>;

    /// Whether its inodes have extended attributes; then `getxattr` and `listxattr` are to be given.
    const XATTRS: bool = false;

    /// The options of one mount or remount call, private to the caller until it is carried out.
    type Context: Send + 'static;

    /// Data of a superblock, there from before its first inode to after its last.
    type SbData: Send + Sync + 'static;

    /// Data of an inode, there from [`crate::inode::NewInode::init`] until the inode is evicted.
    /// That may happen in memory reclaim: dropping it must not wait for whoever allocates memory.
    type InodeData: Send + Sync + 'static;

    /// What all its superblocks share, there while the type is registered.
    type Global: Send + Sync + 'static;

    /// Makes what all superblocks share, before there can be one. `registrar` owns what the kernel
    /// may call at any time, until after [`Self::Global`] is dropped. May sleep.
    fn new_global(registrar: &mut Registrar) -> Result<Self::Global>;

    /// Options as they are when none is given. May sleep.
    fn new_context() -> Result<Self::Context>;

    /// Takes in one option. Errors go to the caller of `mount(2)`; may sleep.
    fn parse_param(
        context: &mut Self::Context,
        fc: &FsContext<Self>,
        param: Parameter<'_>,
    ) -> Result;

    /// Reads the on-disk superblock and makes the data of `sb`. May sleep.
    fn fill_super(
        sb: &mut NewSuperBlock<'_, Self>,
        context: Self::Context,
        fc: &FsContext<Self>,
    ) -> Result<Self::SbData>;

    /// Gets the root inode, after every other step that may fail; `sb` has its data. May sleep.
    fn root<'a>(sb: &'a SuperBlock<Self>, fc: &FsContext<Self>) -> Result<InodeRef<'a, Self>>;

    /// The last step of a mount that may fail: the superblock has its root.
    fn mounted(_sb: &SuperBlock<Self>) -> Result {
        Ok(())
    }

    /// Changes the options of a mounted superblock; nothing may have changed on error. May sleep.
    fn reconfigure(
        sb: &SuperBlock<Self>,
        context: Self::Context,
        fc: &FsContext<Self>,
    ) -> Result<RemountFlags>;

    /// `statfs(2)`.
    fn statfs(sb: &SuperBlock<Self>) -> StatFs;

    /// Prints the options in effect, each with a leading comma, for `/proc/mounts`.
    fn show_options(sb: &SuperBlock<Self>, seq: &SeqFile);

    /// The volume label for `FS_IOC_GETFSLABEL`, without a NUL.
    fn label(sb: &SuperBlock<Self>) -> &[u8];

    /// Called when the last mount is gone, before internal inodes are put (`put_super`).
    fn put_super(_sb: &SuperBlock<Self>) {}

    /// The inode with `key`, see [`SuperBlock::iget5`]; also for keys out of file handles. May sleep.
    fn iget(sb: &SuperBlock<Self>, key: u64) -> Result<InodeRef<'_, Self>>;

    /// Whether there are `user.` attributes; where not, they give `EOPNOTSUPP` and are not listed.
    fn user_xattrs(_sb: &SuperBlock<Self>) -> bool {
        true
    }

    /// Puts the value of the attribute of this name into `value`. `ENODATA` if there is none. May
    /// sleep.
    fn getxattr(
        _inode: &Inode<Self>,
        _namespace: Namespace,
        _name: &[u8],
        _value: &mut Sink<'_>,
    ) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Puts the names of all attributes into `list`. May sleep.
    fn listxattr(_inode: &Inode<Self>, _list: &mut List<'_, Self>) -> Result {
        Ok(())
    }

    /// The key of the parent of directory `child`, for NFS export (`get_parent`). May sleep.
    fn parent(child: &Inode<Self>) -> Result<u64>;
}

/// The slab of the inodes of a type.
struct InodeCache<T>(NonNull<bindings::kmem_cache>, PhantomData<T>);

impl<T: FileSystem> InodeCache<T> {
    fn new() -> Result<Self> {
        // SAFETY: The constructor initialises an object of this size and alignment, and the name
        // is a static string.
        let cache = unsafe {
            helpers::kmem_cache_create(
                T::NAME.as_char_ptr(),
                core::mem::size_of::<WithData<T>>() as u32,
                core::mem::align_of::<WithData<T>>() as u32,
                bindings::VFS_SLAB_INODE_FLAGS,
                Some(WithData::<T>::init_once),
            )
        };
        NonNull::new(cache)
            .map(|c| Self(c, PhantomData))
            .ok_or(ENOMEM)
    }
}

impl<T> Drop for InodeCache<T> {
    fn drop(&mut self) {
        // SAFETY: The cache is ours, made by `new`. `Registration` drops it after `rcu_barrier`, when
        // the last inode of the type was freed, so there is no object in it.
        unsafe { bindings::kmem_cache_destroy(self.0.as_ptr()) };
    }
}

/// A registered filesystem type with its inode cache and its directory in sysfs. It is made by
/// [`module_filesystem!`](crate::module_filesystem).
///
/// # Invariants
///
/// `cache` and `directory` are there while `fs` is registered, and until every inode of the type
/// has been freed. `registrar` is dropped after `global`, which may still queue work.
#[pin_data(PinnedDrop)]
pub struct Registration<T: FileSystem> {
    #[pin]
    fs: Opaque<bindings::file_system_type>,
    #[pin]
    directory: TypeDirectory<T>,
    global: T::Global,
    /// Goes before the registrar, on whose queues its workers push what goes on after a read.
    #[pin]
    files: FileBios,
    registrar: Registrar,
    cache: InodeCache<T>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: A shared reference gives access to `global`, which is `Sync`, and to pointers that are
// only read.
unsafe impl<T: FileSystem> Sync for Registration<T> {}
// SAFETY: A filesystem type may be unregistered by any thread, as may all that is dropped with it;
// `global` is `Send`.
unsafe impl<T: FileSystem> Send for Registration<T> {}

impl<T: FileSystem> Registration<T> {
    /// Registers `T`, in static memory, as lockdep has keys in it. `EBUSY` if the name is taken,
    /// `ENOMEM` without an inode cache or a directory in sysfs.
    ///
    /// # Safety
    ///
    /// What it initializes is dropped only when no superblock of the type is left, and no code of
    /// the filesystem runs after that: as when `module` is unloaded.
    pub unsafe fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            cache: InodeCache::new()?,
            // SAFETY: It is dropped with `self`, or here on an error: no superblock is left or was
            // ever there, so code of the filesystem only runs where the registrar has it called.
            registrar: unsafe { Registrar::new() },
            global: T::new_global(registrar)?,
            files <- FileBios::new(T::NAME),
            directory <- TypeDirectory::new(),
            // Last: from now on there may be mounts.
            fs <- Opaque::try_ffi_init(|fs| Self::register(module, fs)),
            _pin: PhantomPinned,
        })
    }

    fn register(module: &'static ThisModule, fs: *mut bindings::file_system_type) -> Result {
        let device = match T::BACKING {
            Backing::Nothing => 0,
            _ => bindings::FS_REQUIRES_DEV,
        };
        let idmap = if T::ALLOW_IDMAP {
            bindings::FS_ALLOW_IDMAP
        } else {
            0
        };
        // SAFETY: The place is that of a field of a pinned `Registration`, which unregisters the
        // type before the memory goes. The name is a static string.
        to_result(unsafe {
            fs.write(bindings::file_system_type {
                name: T::NAME.as_char_ptr(),
                owner: module.as_ptr(),
                fs_flags: (device | idmap) as i32,
                init_fs_context: Some(fs_context::init_fs_context::<T>),
                kill_sb: Some(crate::super_block::kill_sb::<T>),
                ..pin_init::zeroed()
            });
            bindings::register_filesystem(fs)
        })
    }

    /// The registration of the type that `sb` belongs to.
    ///
    /// # Safety
    ///
    /// `sb` is, for `'a`, a live superblock of a type registered by `Registration<T>`.
    unsafe fn of<'a>(sb: *mut bindings::super_block) -> &'a Self {
        // SAFETY: `s_type` of a superblock of the type is the `fs` field of a pinned
        // `Registration<T>`, which lives as long as any superblock of it: the mount has a reference
        // to the module.
        unsafe { Self::of_type((*sb).s_type.cast()) }
    }

    /// The registration with the type `fs`.
    ///
    /// # Safety
    ///
    /// `fs` was registered by `Registration<T>`, and stays so for `'a`.
    unsafe fn of_type<'a>(fs: *mut bindings::file_system_type) -> &'a Self {
        // SAFETY: `Registration<T>` registers the `fs` field of a pinned value of its own, and nothing else.
        unsafe { &*kernel::container_of!(Opaque::cast_from(fs), Self, fs) }
    }

    /// What reads of files under superblocks and contexts of the type `fs` take.
    ///
    /// # Safety
    ///
    /// `fs` was registered by `Registration<T>`, and stays so for `'a`.
    pub(crate) unsafe fn files_of<'a>(fs: *mut bindings::file_system_type) -> &'a FileBios {
        // SAFETY: The caller has a type that `Registration<T>` registered, for `'a`.
        &unsafe { Self::of_type(fs) }.files
    }

    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn as_raw(&self) -> *mut bindings::file_system_type {
        self.fs.get()
    }

    /// The inode cache of the type that `sb` belongs to.
    ///
    /// # Safety
    ///
    /// `sb` is a live superblock of a type registered by `Registration<T>`.
    pub(crate) unsafe fn cache_of(sb: *mut bindings::super_block) -> *mut bindings::kmem_cache {
        // SAFETY: The caller has a live superblock of the type, which `of` asks for.
        unsafe { Self::of(sb) }.cache.0.as_ptr()
    }

    /// What the superblocks of the type of `sb` share.
    ///
    /// # Safety
    ///
    /// `sb` is, for `'a`, a live superblock of a type registered by `Registration<T>`.
    pub(crate) unsafe fn global_of<'a>(sb: *mut bindings::super_block) -> &'a T::Global {
        // SAFETY: The caller has a superblock of the type that is live for `'a`, as `of` asks for.
        &unsafe { Self::of(sb) }.global
    }

    /// The sysfs directory of the type of `sb`.
    pub(crate) fn directory_of(sb: &SuperBlock<T>) -> &TypeDirectory<T> {
        // SAFETY: A borrowed `SuperBlock<T>` is a live superblock of the type.
        &unsafe { Self::of(sb.as_ptr()) }.directory
    }
}

#[pinned_drop]
impl<T: FileSystem> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: `fs` was registered by `new`, whose caller drops this when no superblock of the
        // type is left. Inodes are freed by RCU callbacks, which the barrier waits for before the
        // cache goes, with the other fields.
        unsafe {
            bindings::unregister_filesystem(self.fs.get());
            bindings::rcu_barrier();
        }
    }
}

/// A module that is one filesystem type: registered when it is loaded, gone when it is unloaded.
/// To be invoked once, in the root of the crate, with a type that can be named there.
///
/// The arguments are those of [`module!`](kernel::macros::module), where `type` is the
/// [`FileSystem`]; there are no parameters.
///
/// # Soundness
///
/// What this expands to has `unsafe` in it, as what `module!` expands to does, and the compiler's
/// `unsafe_code` lint says nothing of what macros of other crates expand to. What the block promises
/// is kept by privacy: the type that has the [`Registration`] is private to a module of its own, in
/// which there is nothing but this expansion, as the arguments are names and literals only. So no code
/// of the crate can name it, initialise another one, or drop it; `module!` does both, in its `init`
/// and `exit` functions, which only the kernel calls.
#[macro_export]
macro_rules! module_filesystem {
    (
        type: $type:ident,
        name: $name:literal,
        authors: [$($author:literal),* $(,)?],
        description: $description:literal,
        license: $license:literal $(,
        alias: [$($alias:literal),* $(,)?])? $(,)?
    ) => {
        mod __module_filesystem {
            use super::*;

            #[::kernel::prelude::pin_data]
            struct FileSystemModule {
                #[pin]
                _registration: $crate::registration::Registration<$type>,
            }

            impl ::kernel::InPlaceModule for FileSystemModule {
                fn init(
                    module: &'static ::kernel::ThisModule,
                ) -> impl ::pin_init::PinInit<Self, ::kernel::error::Error> {
                    ::kernel::try_pin_init!(Self {
                        // SAFETY: The only value of this type is the one of `module!`, which is
                        // dropped by the exit function. Each superblock holds a reference to the
                        // module, so none is left then, and no code of the module runs after that.
                        _registration <- unsafe {
                            $crate::registration::Registration::new(module)
                        },
                    })
                }
            }

            ::kernel::prelude::module! {
                type: FileSystemModule,
                name: $name,
                authors: [$($author),*],
                description: $description,
                license: $license,
                $(alias: [$($alias),*],)?
            }
        }
    };
}
