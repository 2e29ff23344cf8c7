/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tracepoints erofs_rs:erofs_rs_*, with the fields and the text of the C
 * driver's erofs:erofs_*: each event is a global symbol, so both drivers can be
 * built in only if the names differ. Where that driver is given an inode, these
 * are given its device and its nid. Called from trace.rs.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM erofs_rs

#if !defined(_EROFS_RS_TRACEPOINTS_H) || defined(TRACE_HEADER_MULTI_READ)
#define _EROFS_RS_TRACEPOINTS_H

#include <linux/dcache.h>
#include <linux/kdev_t.h>
#include <linux/tracepoint.h>

#define erofs_rs_mapped_flags(flags)			\
	__print_flags(flags, "",			\
		      { 0x01, "M" },			\
		      { 0x02, "I" },			\
		      { 0x04, "T" },			\
		      { 0x08, "P" },			\
		      { 0x10, "R" })

/* __print_flags() has no word for none of them. */
#define erofs_rs_map_flags(flags)			\
	((flags) ? __print_flags(flags, "|",		\
				 { 1, "FIEMAP" },	\
				 { 2, "READMORE" },	\
				 { 4, "FINDTAIL" }) : "NULL")

TRACE_EVENT(erofs_rs_lookup,
	TP_PROTO(dev_t dev, u64 nid, const struct dentry *dentry, unsigned int flags),
	TP_ARGS(dev, nid, dentry, flags),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, nid)
		__string(name, dentry->d_name.name)
		__field(unsigned int, flags)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->nid = nid;
		__assign_str(name);
		__entry->flags = flags;
	),
	TP_printk("dev = (%d,%d), pnid = %llu, name:%s, flags:%x",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->nid,
		  __get_str(name), __entry->flags)
);

TRACE_EVENT(erofs_rs_fill_inode,
	TP_PROTO(dev_t dev, u64 nid, u64 blkaddr, unsigned int ofs),
	TP_ARGS(dev, nid, blkaddr, ofs),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, nid)
		__field(u64, blkaddr)
		__field(unsigned int, ofs)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->nid = nid;
		__entry->blkaddr = blkaddr;
		__entry->ofs = ofs;
	),
	TP_printk("dev = (%d,%d), nid = %llu, blkaddr %llu ofs %u",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->nid,
		  __entry->blkaddr, __entry->ofs)
);

TRACE_EVENT(erofs_rs_read_folio,
	TP_PROTO(dev_t dev, u64 nid, bool dir, pgoff_t index, unsigned int order, bool raw),
	TP_ARGS(dev, nid, dir, index, order, raw),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, nid)
		__field(int, dir)
		__field(pgoff_t, index)
		__field(unsigned int, order)
		__field(bool, raw)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->nid = nid;
		__entry->dir = dir;
		__entry->index = index;
		__entry->order = order;
		__entry->raw = raw;
	),
	TP_printk("dev = (%d,%d), nid = %llu, %s, index = %lu, order = %u, raw = %d",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->nid,
		  __print_symbolic(__entry->dir, { 0, "FILE" }, { 1, "DIR" }),
		  __entry->index, __entry->order, __entry->raw)
);

TRACE_EVENT(erofs_rs_readahead,
	TP_PROTO(dev_t dev, u64 nid, pgoff_t start, unsigned int nrpage, bool raw),
	TP_ARGS(dev, nid, start, nrpage, raw),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, nid)
		__field(pgoff_t, start)
		__field(unsigned int, nrpage)
		__field(bool, raw)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->nid = nid;
		__entry->start = start;
		__entry->nrpage = nrpage;
		__entry->raw = raw;
	),
	TP_printk("dev = (%d,%d), nid = %llu, start = %lu nrpage = %u raw = %d",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->nid,
		  __entry->start, __entry->nrpage, __entry->raw)
);

TRACE_EVENT(erofs_rs_map_blocks_enter,
	TP_PROTO(dev_t dev, u64 nid, u64 la, u64 llen, unsigned int flags),
	TP_ARGS(dev, nid, la, llen, flags),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, nid)
		__field(u64, la)
		__field(u64, llen)
		__field(unsigned int, flags)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->nid = nid;
		__entry->la = la;
		__entry->llen = llen;
		__entry->flags = flags;
	),
	TP_printk("dev = (%d,%d), nid = %llu, la %llu llen %llu flags %s",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->nid, __entry->la, __entry->llen,
		  erofs_rs_map_flags(__entry->flags))
);

TRACE_EVENT(erofs_rs_map_blocks_exit,
	TP_PROTO(dev_t dev, u64 nid, unsigned int flags, u64 la, u64 pa, u64 llen, u64 plen,
		 unsigned int mflags, int ret),
	TP_ARGS(dev, nid, flags, la, pa, llen, plen, mflags, ret),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, nid)
		__field(unsigned int, flags)
		__field(u64, la)
		__field(u64, pa)
		__field(u64, llen)
		__field(u64, plen)
		__field(unsigned int, mflags)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->nid = nid;
		__entry->flags = flags;
		__entry->la = la;
		__entry->pa = pa;
		__entry->llen = llen;
		__entry->plen = plen;
		__entry->mflags = mflags;
		__entry->ret = ret;
	),
	TP_printk("dev = (%d,%d), nid = %llu, flags %s la %llu pa %llu llen %llu plen %llu mflags %s ret %d",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->nid, erofs_rs_map_flags(__entry->flags),
		  __entry->la, __entry->pa, __entry->llen, __entry->plen,
		  erofs_rs_mapped_flags(__entry->mflags), __entry->ret)
);

#endif /* _EROFS_RS_TRACEPOINTS_H */

/* This part must be outside protection */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE tracepoints
#include <trace/define_trace.h>
