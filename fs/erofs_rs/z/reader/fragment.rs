// SPDX-License-Identifier: GPL-2.0-only

//! Fragments: parts of files that are in the packed inode, which is read through its page cache.

use super::Reader;
use crate::{
    super_block,
    z::submit::Way, //
};
use erofs_format::meta::Source;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use vfs::{
    folio::FolioPart,
    meta::MetaReader, //
};

/// A part of a folio that is in the packed inode.
pub(super) struct Fragment {
    part: FolioPart,
    /// Where it begins there.
    pos: u64,
    /// How many bytes of it have been copied.
    done: usize,
}

impl<'a> Reader<'a> {
    /// Copies from byte `pos` of the packed inode. Puts the part aside if that has to be read first.
    pub(super) fn read_fragment(&mut self, mut part: FolioPart, pos: u64) -> Result<bool> {
        let sb = self.inode.super_block();
        // The packed inode would wait for its own folio.
        if sb.data().format.packed_nid == Some(self.inode.data().nid) {
            return Err(EUCLEAN);
        }
        let len = part.len();
        if pos.saturating_add(len as u64) > i64::MAX as u64 {
            return Err(EUCLEAN);
        }
        let meta = self.packed()?;
        let ready = meta.is_ready(pos, len);
        if ready {
            meta.read_to(pos, &mut part, 0..len)?;
            part.end(Ok(()));
        } else {
            let done = 0;
            self.fragment = Some(Fragment { part, pos, done });
        }
        Ok(ready)
    }

    /// Reads the fragment that was put aside, page by page.
    pub(super) fn load_fragment(&mut self) -> Result {
        if !self.chain.is_empty() {
            self.let_go(Way::Background);
        }
        while let Some(pos) = self.fragment.as_ref().map(|f| f.pos + f.done as u64) {
            self.packed()?.load(pos)?;
            self.copy_fragment(pos)?;
        }
        Ok(())
    }

    /// Copies what the page of the packed inode at `pos` has of the fragment.
    #[inline(never)]
    fn copy_fragment(&mut self, pos: u64) -> Result {
        let Some(mut fragment) = self.fragment.take() else {
            return Ok(());
        };
        let Fragment { part, done, .. } = &mut fragment;
        let next = (part.len() - *done).min(PAGE_SIZE - pos as usize % PAGE_SIZE);
        self.packed()?.read_to(pos, part, *done..*done + next)?;
        *done += next;
        if *done < part.len() {
            self.fragment = Some(fragment);
        } else {
            fragment.part.end(Ok(()));
        }
        Ok(())
    }

    fn packed(&mut self) -> Result<&mut MetaReader<'a>> {
        Ok(match &mut self.packed {
            Some(meta) => meta,
            none => none.insert(super_block::meta(self.inode.super_block(), Source::Packed)?),
        })
    }
}
