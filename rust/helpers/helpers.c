// SPDX-License-Identifier: GPL-2.0-only
/*
 * C faces of the static inlines and macros that the vfs crate calls. Each is
 * one call or one expression: what to call when is decided in Rust.
 */
#include <linux/backing-dev.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/cpumask.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/highmem.h>
#include <linux/iomap.h>
#include <linux/ioprio.h>
#include <linux/kdev_t.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/pagemap.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/psi.h>
#include <linux/ratelimit.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>
#include <linux/xattr.h>

/* linux/fs.h, linux/slab.h: inodes */

void *rust_vfs_alloc_inode_sb(struct super_block *sb, struct kmem_cache *cache)
{
	return alloc_inode_sb(sb, cache, GFP_KERNEL);
}

struct kmem_cache *rust_vfs_kmem_cache_create(const char *name, unsigned int size,
					      unsigned int align, slab_flags_t flags,
					      void (*ctor)(void *))
{
	return kmem_cache_create(name, size, align, flags, ctor);
}

bool rust_vfs_inode_is_new(struct inode *inode)
{
	return inode_state_read_once(inode) & I_NEW;
}

void rust_vfs_i_uid_write(struct inode *inode, uid_t uid)
{
	i_uid_write(inode, uid);
}

void rust_vfs_i_gid_write(struct inode *inode, gid_t gid)
{
	i_gid_write(inode, gid);
}

void rust_vfs_inode_set_mtime(struct inode *inode, time64_t sec, long nsec)
{
	inode_set_mtime(inode, sec, nsec);
}

void rust_vfs_inode_set_ctime(struct inode *inode, time64_t sec, long nsec)
{
	inode_set_ctime(inode, sec, nsec);
}

void rust_vfs_inode_set_atime(struct inode *inode, time64_t sec, long nsec)
{
	inode_set_atime(inode, sec, nsec);
}

void rust_vfs_inode_set_cached_link(struct inode *inode, char *link, int len)
{
	inode_set_cached_link(inode, link, len);
}

void rust_vfs_cache_no_acl(struct inode *inode)
{
	cache_no_acl(inode);
}

loff_t rust_vfs_i_size_read(struct inode *inode)
{
	return i_size_read(inode);
}

u64 rust_vfs_huge_encode_dev(dev_t dev)
{
	return huge_encode_dev(dev);
}

/* linux/fs.h: super blocks */

void rust_vfs_super_set_uuid(struct super_block *sb, const u8 *uuid, unsigned int len)
{
	super_set_uuid(sb, uuid, len);
}

void rust_vfs_super_set_sysfs_name_id(struct super_block *sb)
{
	super_set_sysfs_name_id(sb);
}

void rust_vfs_errorfc(struct fs_context *fc, const char *msg)
{
	errorfc(fc, "%s", msg);
}

/* linux/fs.h: directories */

bool rust_vfs_dir_emit(struct dir_context *ctx, const char *name, int len, u64 ino,
		       unsigned int type)
{
	return dir_emit(ctx, name, len, ino, type);
}

/* linux/xattr.h, linux/posix_acl_xattr.h */

bool rust_vfs_xattr_handler_can_list(const struct xattr_handler *handler, struct dentry *dentry)
{
	return xattr_handler_can_list(handler, dentry);
}

const char *rust_vfs_xattr_prefix(const struct xattr_handler *handler)
{
	return xattr_prefix(handler);
}

struct posix_acl *rust_vfs_posix_acl_from_xattr(const struct inode *inode, const void *value,
						size_t size)
{
	return posix_acl_from_xattr(i_user_ns(inode), value, size);
}

/* linux/pagemap.h, linux/highmem.h */

void rust_vfs_mapping_set_large_folios(struct address_space *mapping)
{
	mapping_set_large_folios(mapping);
}

void rust_vfs_folio_get(struct folio *folio)
{
	folio_get(folio);
}

void rust_vfs_folio_put(struct folio *folio)
{
	folio_put(folio);
}

loff_t rust_vfs_folio_pos(const struct folio *folio)
{
	return folio_pos(folio);
}

size_t rust_vfs_folio_size(const struct folio *folio)
{
	return folio_size(folio);
}

void *rust_vfs_folio_pos_address(struct folio *folio, loff_t pos)
{
	return folio_address(folio) + offset_in_folio(folio, pos);
}

void rust_vfs_memcpy_from_folio(char *to, struct folio *folio, size_t offset, size_t len)
{
	memcpy_from_folio(to, folio, offset, len);
}

void rust_vfs_memcpy_to_folio(struct folio *folio, size_t offset, const char *from, size_t len)
{
	memcpy_to_folio(folio, offset, from, len);
}

void rust_vfs_folio_zero_range(struct folio *folio, size_t start, size_t len)
{
	folio_zero_range(folio, start, len);
}

void *rust_vfs_kmap_local_folio(struct folio *folio, size_t offset)
{
	return kmap_local_folio(folio, offset);
}

void rust_vfs_kunmap_local(const void *addr)
{
	kunmap_local(addr);
}

bool rust_vfs_ra_has_index(struct file_ra_state *ra, pgoff_t index)
{
	return ra_has_index(ra, index);
}

void rust_vfs_page_cache_sync_readahead(struct address_space *mapping, struct file_ra_state *ra,
					struct file *file, pgoff_t index, unsigned long nr)
{
	page_cache_sync_readahead(mapping, ra, file, index, nr);
}

struct folio *rust_vfs_grab_folio_nowait(struct address_space *mapping, pgoff_t index)
{
	return __filemap_get_folio(mapping, index, FGP_LOCK | FGP_CREAT | FGP_NOFS | FGP_NOWAIT,
				   readahead_gfp_mask(mapping) & ~__GFP_RECLAIM);
}

struct folio *rust_vfs_filemap_get_folio(struct address_space *mapping, pgoff_t index)
{
	return __filemap_get_folio(mapping, index, FGP_ACCESSED, 0);
}

bool rust_vfs_folio_test_private(const struct folio *folio)
{
	return folio_test_private(folio);
}

struct page *rust_vfs_folio_page(struct folio *folio, size_t n)
{
	return folio_page(folio, n);
}

struct folio *rust_vfs_page_folio(struct page *page)
{
	return page_folio(page);
}

bool rust_vfs_folio_test_uptodate(const struct folio *folio)
{
	return folio_test_uptodate(folio);
}

bool rust_vfs_folio_test_workingset(const struct folio *folio)
{
	return folio_test_workingset(folio);
}

struct folio *rust_vfs_readahead_folio(struct readahead_control *rac)
{
	return readahead_folio(rac);
}

pgoff_t rust_vfs_readahead_index(const struct readahead_control *rac)
{
	return readahead_index(rac);
}

unsigned int rust_vfs_readahead_count(struct readahead_control *rac)
{
	return readahead_count(rac);
}

/* linux/mm.h, linux/vmstat.h */

void *rust_vfs_page_address(const struct page *page)
{
	return page_address(page);
}

bool rust_vfs_want_init_on_alloc(void)
{
	return want_init_on_alloc(0);
}

void rust_vfs_count_reclaimable(struct page *page, long pages)
{
	mod_node_page_state(page_pgdat(page), NR_KERNEL_MISC_RECLAIMABLE, pages);
}

/* linux/sched/mm.h */

unsigned int rust_vfs_memalloc_noio_save(void)
{
	return memalloc_noio_save();
}

unsigned int rust_vfs_memalloc_nofs_save(void)
{
	return memalloc_nofs_save();
}

void rust_vfs_memalloc_flags_restore(unsigned int flags)
{
	memalloc_flags_restore(flags);
}

/* linux/cpumask.h, linux/percpu.h */

unsigned int rust_vfs_num_online_cpus(void)
{
	return num_online_cpus();
}

bool rust_vfs_cpu_possible(unsigned int cpu)
{
	return cpu_possible(cpu);
}

unsigned long __percpu *rust_vfs_alloc_percpu(size_t count)
{
	return __alloc_percpu(count * sizeof(unsigned long), sizeof(unsigned long));
}

void rust_vfs_this_cpu_add(unsigned long __percpu *counter, unsigned long n)
{
	this_cpu_add(*counter, n);
}

unsigned long rust_vfs_read_per_cpu(unsigned long __percpu *counter, unsigned int cpu)
{
	return READ_ONCE(*per_cpu_ptr(counter, cpu));
}

/* linux/ratelimit.h: the misses of these are told by whoever has them, also on release. */

void rust_vfs_ratelimit_init(struct ratelimit_state *limit)
{
	ratelimit_default_init(limit);
	ratelimit_set_flags(limit, RATELIMIT_MSG_ON_RELEASE);
}

int rust_vfs_ratelimit_take_missed(struct ratelimit_state *limit)
{
	return ratelimit_state_reset_miss(limit);
}

/* linux/sched/signal.h */

bool rust_vfs_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

void rust_vfs_cond_resched(void)
{
	cond_resched();
}

/* linux/psi.h */

void rust_vfs_psi_memstall_enter(unsigned long *flags)
{
	psi_memstall_enter(flags);
}

void rust_vfs_psi_memstall_leave(unsigned long *flags)
{
	psi_memstall_leave(flags);
}

/* linux/file.h, linux/cred.h, linux/ioprio.h */

struct file *rust_vfs_get_file(struct file *file)
{
	return get_file(file);
}

const struct cred *rust_vfs_override_creds(const struct cred *cred)
{
	return override_creds(cred);
}

void rust_vfs_revert_creds(const struct cred *cred)
{
	revert_creds(cred);
}

int rust_vfs_get_current_ioprio(void)
{
	return get_current_ioprio();
}

/* linux/uio.h */

size_t rust_vfs_iov_iter_count(const struct iov_iter *iter)
{
	return iov_iter_count(iter);
}

/* linux/bio.h */

struct bio *rust_vfs_bio_alloc_read(struct block_device *bdev, unsigned short segments)
{
	return bio_alloc(bdev, segments, REQ_OP_READ, GFP_NOIO);
}

struct bio *rust_vfs_bio_alloc_read_from(struct bio_set *set, unsigned short segments)
{
	return bio_alloc_bioset(NULL, segments, REQ_OP_READ, GFP_NOIO, set);
}

void rust_vfs_bio_first_folio(struct folio_iter *fi, struct bio *bio, int i)
{
	bio_first_folio(fi, bio, i);
}

void rust_vfs_bio_next_folio(struct folio_iter *fi, struct bio *bio)
{
	bio_next_folio(fi, bio);
}

bool rust_vfs_bio_in_atomic(void)
{
	return bio_in_atomic();
}

/* linux/blkdev.h */

struct blk_plug *rust_vfs_current_plug(void)
{
	return current->plug;
}

void rust_vfs_set_current_plug(struct blk_plug *plug)
{
	current->plug = plug;
}

unsigned int rust_vfs_bdev_dma_alignment(struct block_device *bdev)
{
	return bdev_dma_alignment(bdev);
}

unsigned int rust_vfs_bdev_logical_block_size(struct block_device *bdev)
{
	return bdev_logical_block_size(bdev);
}

/*
 * linux/iomap.h: an __always_inline body around two callbacks; the loop control
 * in it is the kernel's own.
 */
int rust_vfs_iomap_iter_next(const struct iomap_iter *iter, struct iomap *iomap,
			     struct iomap *srcmap, iomap_iter_begin_fn begin,
			     iomap_iter_end_fn end)
{
	return iomap_iter_next(iter, iomap, srcmap, begin, end);
}
