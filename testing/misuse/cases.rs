// SPDX-License-Identifier: GPL-2.0-only

//! What safe code must not be able to do to vfs. Each module is a case, named after its rule: it
//! compiles without the lines that are marked `//~`, and with them it gives the error that is named
//! there, on that line, and no other.

/// A superblock is not kept past the call that it was handed to.
mod super_block_is_not_kept {
    use super::*;

    static KEPT: SetOnce<&'static SuperBlock<Fs>> = SetOnce::new();

    fn root(sb: &SuperBlock<Fs>) {
        KEPT.populate(sb); //~ E0521
    }
}

/// Nor is one that is being filled.
mod new_super_block_is_not_kept {
    use super::*;

    fn kept<T: 'static>(_: T) {}

    fn fill_super(mut sb: NewSuperBlock<'_, Fs>) -> Result<()> {
        sb.set_block_size(512)?;
        kept(sb); //~ E0521
        Ok(())
    }
}

/// Inodes are not to be had before the superblock has its data.
mod no_inodes_while_filled {
    use super::*;

    fn fill_super(sb: &mut NewSuperBlock<'_, Fs>) -> Result<()> {
        sb.iget5(1, 1)?; //~ E0599
        Ok(())
    }
}

/// A reference to an inode is not kept past the call that it was got in.
mod inode_ref_is_not_kept {
    use super::*;

    fn kept(_: InodeRef<'static, Fs>) {}

    fn lookup(inode: InodeRef<'_, Fs>) {
        let size = inode.size();
        kept(inode); //~ E0521
    }
}

/// Nor does an inode that is borrowed from it outlive it.
mod inode_needs_its_reference {
    use super::*;

    fn size(sb: &SuperBlock<Fs>) -> Result<u64> {
        let inode = Fs::iget(sb, 2)?;
        let borrowed: &Inode<Fs> = &inode;
        drop(inode); //~ E0505
        Ok(borrowed.size())
    }
}

/// A reference to an inode stays with its task: it is put where it may sleep.
mod inode_ref_stays_with_its_task {
    use super::*;

    fn sent<T: Send>(_: T) {}

    fn lookup(sb: &SuperBlock<Fs>) -> Result<()> {
        let inode = Fs::iget(sb, 2)?;
        sent(inode); //~ E0277
        Ok(())
    }
}

/// A new inode is made ready or fails, once.
mod new_inode_is_used_once {
    use super::*;

    fn fill(new: NewInode<'_, Fs>) -> Result<()> {
        let inode = init(new)?;
        init(new)?; //~ E0382
        Ok(())
    }
}

/// A name is looked at while its parent is locked.
mod name_is_not_kept {
    use super::*;

    static KEPT: SetOnce<&'static [u8]> = SetOnce::new();

    fn lookup(dentry: &Dentry<Fs>) {
        KEPT.populate(dentry.name()); //~ E0521
    }
}

/// What is in a mount's memory is shared by tasks.
mod data_is_shared_by_tasks {
    use super::*;

    fn shared<T: Send + Sync + 'static>() {}

    fn check() {
        shared::<Queue>();
        shared::<core::cell::Cell<u8>>(); //~ E0277
    }
}

/// What owns queues and shrinkers is not kept by the filesystem.
mod registrar_is_not_kept {
    use super::*;

    fn kept(_: &'static mut Registrar) {}

    fn new_global(registrar: &mut Registrar) -> Result<Queue> {
        let queue = registrar.queue(c"queue", Priority::High)?;
        kept(registrar); //~ E0521
        Ok(queue)
    }
}

/// Nor made by it.
mod registrar_is_made_by_vfs {
    use super::*;

    fn own() {
        Registrar::new(); //~ E0624
    }
}

/// A queue comes from a registrar, which waits for its work.
mod queue_is_owned_by_vfs {
    use super::*;

    fn own(registrar: &mut Registrar) -> Result<Queue> {
        Queue::new(c"queue", Priority::High)?; //~ E0599
        registrar.queue(c"queue", Priority::High)
    }
}

/// There is nothing to forget of a shrinker.
mod shrinker_is_owned_by_vfs {
    use super::*;

    fn own(registrar: &mut Registrar) -> Result<()> {
        let shrinker: vfs::shrinker::Shrinker<Nothing>; //~ E0603
        registrar.shrinker(c"shrinker", Nothing)
    }
}

/// What is queued has one owner: nobody else is left with a reference to queue it again.
mod work_is_queued_by_its_owner {
    use super::*;

    fn push(queue: Queue) -> Result<()> {
        let work = job()?;
        queue.push(work);
        queue.push(work); //~ E0382
        Ok(())
    }
}

mod shared_work_is_not_queued {
    use super::*;

    fn push(queue: Queue) -> Result<()> {
        let work: Arc<Work<Job>> = job()?.into();
        queue.push(work.clone()); //~ E0308
        Ok(())
    }
}

/// Work goes to another task, and may outlive the mount.
mod work_borrows_nothing {
    use super::*;

    struct Later<'a>(&'a SuperBlock<Fs>);

    #[rustfmt::skip] //~
    impl<'a> Run for Later<'a> { //~ E0478 E0495
        fn class() -> vfs::workqueue::Class { vfs::work_class!("Later") } //~
        fn run(_this: Pin<UniqueArc<Work<Self>>>) {} //~
    } //~
}

mod work_may_be_sent {
    use super::*;

    struct Later(*mut u8);

    #[rustfmt::skip] //~
    impl Run for Later { //~ E0277 E0277
        fn class() -> vfs::workqueue::Class { vfs::work_class!("Later") } //~
        fn run(_this: Pin<UniqueArc<Work<Self>>>) {} //~
    } //~
}

/// No reads are added to those that were waited for.
mod reads_end_once {
    use super::*;

    fn read(target: Target<'_>) -> Result<()> {
        let reads = Reads::new()?;
        PageBio::new(target, 0, 1, &reads)?.submit();
        reads.wait();
        PageBio::new(target, 0, 1, &reads)?.submit(); //~ E0382
        Ok(())
    }
}

/// A bio is submitted, or not, while what it reads from is there.
mod bio_does_not_outlive_its_target {
    use super::*;

    fn kept<T: 'static>(_: T) {}

    fn read(bio: Bio<'_>) {
        let end = bio.end();
        kept(bio); //~ E0521
    }
}

/// A bio is submitted once.
mod bio_is_submitted_once {
    use super::*;

    fn read(bio: Bio<'_>) {
        bio.submit();
        bio.submit(); //~ E0382
    }
}

/// A locked folio ends once.
mod folio_ends_once {
    use super::*;

    fn read_folio(folio: LockedFolio) {
        folio.end(Ok(()));
        folio.end(Err(EIO)); //~ E0382
    }
}

/// Nor is what it was split from still there.
mod parts_are_split_once {
    use super::*;

    fn read_folio(folio: LockedFolio) {
        let part = folio.into_part();
        let (front, back) = part.split(512);
        part.end(Ok(())); //~ E0382
        front.end(Ok(()));
    }
}

/// Folios that are read ahead are taken while the call lasts.
mod readahead_is_not_kept {
    use super::*;

    fn kept(_: Readahead<'static>) {}

    fn readahead(folios: Readahead<'_>) {
        kept(folios); //~ E0521
    }
}

/// A page that is decoded from is not lent to be written to.
mod page_is_not_written_while_decoded {
    use super::*;

    fn decode() -> Result<()> {
        let mut page = Page::new(Alloc::Wait)?;
        let mut input = Input::from_pages(0, 4096, Alloc::Wait)?;
        input.add_page(0, &page)?;
        page.lend(); //~ E0502
        drop(input);
        Ok(())
    }
}

/// How memory is looked for is changed for a closure: there is no guard to forget.
mod allocation_scopes_are_closures {
    use super::*;

    fn decode() {
        page::no_io(|| page::no_fs(|| ()));
        let guard: page::Scope; //~ E0412
    }
}

/// Only the module's own init function registers a type, as the exit function undoes it.
mod registering_is_unsafe {
    use super::*;

    fn register(module: &'static ThisModule) {
        Registration::<Fs>::new(module); //~ E0133
    }
}

mod module_is_out_of_reach {
    use super::*;

    fn name() {
        type Module = crate::__module_filesystem::FileSystemModule; //~ E0603
    }
}

/// The macros of vfs may expand to `unsafe`. That does not let the crate write any.
mod unsafe_is_forbidden {
    fn read(byte: &u8) -> u8 {
        let at: *const u8 = byte;
        unsafe { return *at } //~ usage of an `unsafe` block
        *byte
    }
}

mod unsafe_arguments_are_forbidden {
    use super::*;

    fn log(sb: &SuperBlock<Fs>, byte: *const u8) {
        vfs::err!(sb, "{}", 1);
        vfs::err!(sb, "{}", unsafe { *byte }); //~ usage of an `unsafe` block
    }
}

/// C is out of reach.
mod bindings_are_private {
    use super::*;

    fn call() {
        use vfs::bindings::iput; //~ E0603
    }
}

/// What a tracepoint takes is decided by vfs, as it goes to C.
mod trace_arguments_are_sealed {
    use super::*;

    struct Mine;

    #[rustfmt::skip] //~
    impl vfs::trace::Argument for Mine { //~ E0277
        type Raw = *const u8; //~
        fn raw(self) -> *const u8 { core::ptr::null() } //~
    } //~
}

/// As are the names that go to the log.
mod log_names_are_sealed {
    use super::*;

    struct Mine;

    fn log(sb: &SuperBlock<Fs>) {
        vfs::err!(sb, "text");
        vfs::err!(&Mine, "text"); //~ E0277
    }
}
