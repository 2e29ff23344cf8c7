/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the vfs crate needs beyond the kernel crate's bindings. Kbuild keeps
 * only the items of the headers it lists, so that every type that the kernel
 * crate knows stays that crate's type.
 */
#include <linux/fs.h>
#include <linux/blkdev.h>
#include <linux/crc32c.h>
#include <linux/exportfs.h>
#include <linux/fiemap.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/filelock.h>
#include <linux/iomap.h>
#include <linux/list_lru.h>
#include <linux/lz4.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/shrinker.h>
#include <linux/statfs.h>
#include <linux/vmalloc.h>
#include <linux/xxhash.h>
#include <linux/xz.h>
#include <linux/zlib.h>
#include <linux/zstd.h>

/* Macros that bindgen cannot type by itself. */
const gfp_t RUST_CONST_HELPER_VFS_GFP_KERNEL = GFP_KERNEL;
/* Not from the reserves, which a task that was killed for want of memory may use. */
const gfp_t RUST_CONST_HELPER_VFS_GFP_BEST_EFFORT = GFP_NOWAIT | __GFP_NORETRY | __GFP_NOWARN |
						    __GFP_NOMEMALLOC;
const gfp_t RUST_CONST_HELPER_VFS_GFP_KEPT = GFP_NOWAIT | __GFP_NORETRY | __GFP_NOWARN |
					     __GFP_NOMEMALLOC | __GFP_ACCOUNT | __GFP_RECLAIMABLE;
const u32 RUST_CONST_HELPER_VFS_SHRINKER_MEMCG_AWARE = SHRINKER_MEMCG_AWARE;
const u32 RUST_CONST_HELPER_VFS_SHRINKER_NUMA_AWARE = SHRINKER_NUMA_AWARE;
const u32 RUST_CONST_HELPER_VFS_SLAB_INODE_FLAGS = SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT;
const loff_t RUST_CONST_HELPER_VFS_MAX_LFS_FILESIZE = MAX_LFS_FILESIZE;
const u32 RUST_CONST_HELPER_VFS_BLK_OPEN_READ = (__force u32)BLK_OPEN_READ;
const u32 RUST_CONST_HELPER_VFS_ACL_TYPE_ACCESS = ACL_TYPE_ACCESS;
const u32 RUST_CONST_HELPER_VFS_ACL_TYPE_DEFAULT = ACL_TYPE_DEFAULT;
const u32 RUST_CONST_HELPER_VFS_FS_IOC_GETFSLABEL = FS_IOC_GETFSLABEL;
