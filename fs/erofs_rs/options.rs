// SPDX-License-Identifier: GPL-2.0-only

//! Mount options.

use crate::Erofs;
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    str::CString,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
use vfs::fs_context::{
    FsContext,
    Parameter,
    Spec, //
};

const USER_XATTR: u8 = 0;
const ACL: u8 = 1;
const DEVICE: u8 = 2;

/// The options that there are.
pub(crate) const PARAMETERS: &[Spec] = &[
    Spec::flag_no(c"user_xattr", USER_XATTR),
    Spec::flag_no(c"acl", ACL),
    Spec::string(c"device", DEVICE),
    Spec::END,
];

/// The options of one mount or remount call.
pub(crate) struct Options {
    pub(crate) user_xattr: bool,
    pub(crate) acl: bool,
    /// The paths of further devices, in the order of the image's table.
    pub(crate) devices: KVec<CString>,
}

impl Options {
    pub(crate) fn new() -> Self {
        Self {
            user_xattr: true,
            acl: cfg!(CONFIG_FS_POSIX_ACL),
            devices: KVec::new(),
        }
    }

    /// Takes in one option.
    pub(crate) fn parse(&mut self, fc: &FsContext<Erofs>, param: Parameter<'_>) -> Result {
        match param.opt {
            USER_XATTR => self.user_xattr = param.boolean(),
            ACL if cfg!(CONFIG_FS_POSIX_ACL) => self.acl = param.boolean(),
            ACL => fc.error(fmt!("{{,no}}acl options not supported")),
            DEVICE => {
                let path = CString::try_from(param.string()?)?;
                self.devices.push(path, GFP_KERNEL)?;
            }
            _ => return Err(EINVAL),
        }
        Ok(())
    }
}

/// The options in effect, which a remount may change at any time.
pub(crate) struct Effective {
    user_xattr: Atomic<bool>,
    acl: Atomic<bool>,
}

impl Effective {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            user_xattr: Atomic::new(options.user_xattr),
            acl: Atomic::new(options.acl),
        }
    }

    /// Takes over what a remount may change; the others are as they were given at first.
    pub(crate) fn change(&self, options: &Options) {
        self.user_xattr.store(options.user_xattr, Relaxed);
        self.acl.store(options.acl, Relaxed);
    }

    pub(crate) fn user_xattr(&self) -> bool {
        self.user_xattr.load(Relaxed)
    }

    pub(crate) fn show(&self, seq: &SeqFile) {
        let no = |on: &Atomic<bool>| if on.load(Relaxed) { "" } else { "no" };
        seq_print!(seq, ",{}user_xattr", no(&self.user_xattr));
        if cfg!(CONFIG_FS_POSIX_ACL) {
            seq_print!(seq, ",{}acl", no(&self.acl));
        }
    }
}
