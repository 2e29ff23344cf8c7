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
    Choice,
    FsContext,
    Parameter,
    Spec, //
};

const USER_XATTR: u8 = 0;
const ACL: u8 = 1;
const DEVICE: u8 = 2;
const CACHE_STRATEGY: u8 = 3;

/// Which compressed data is kept for a further read.
#[derive(Clone, Copy, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum CacheStrategy {
    /// None.
    Disabled,
    /// That of an extent which is read in part, at the end of what was asked for.
    Readahead,
    /// That of an extent at either end.
    Readaround,
}

impl CacheStrategy {
    const NAMES: [&'static CStr; 3] = [c"disabled", c"readahead", c"readaround"];

    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Disabled,
            1 => Self::Readahead,
            _ => Self::Readaround,
        }
    }
}

const STRATEGIES: &[Choice] = &[
    Choice::new(CacheStrategy::NAMES[0], CacheStrategy::Disabled as i32),
    Choice::new(CacheStrategy::NAMES[1], CacheStrategy::Readahead as i32),
    Choice::new(CacheStrategy::NAMES[2], CacheStrategy::Readaround as i32),
    Choice::END,
];

/// The options that there are.
pub(crate) const PARAMETERS: &[Spec] = &[
    Spec::flag_no(c"user_xattr", USER_XATTR),
    Spec::flag_no(c"acl", ACL),
    Spec::string(c"device", DEVICE),
    Spec::choice(c"cache_strategy", CACHE_STRATEGY, STRATEGIES),
    Spec::END,
];

/// The options of one mount or remount call.
pub(crate) struct Options {
    pub(crate) user_xattr: bool,
    pub(crate) acl: bool,
    cache_strategy: CacheStrategy,
    /// The paths of further devices, in the order of the image's table.
    pub(crate) devices: KVec<CString>,
}

impl Options {
    pub(crate) fn new() -> Self {
        Self {
            user_xattr: true,
            acl: cfg!(CONFIG_FS_POSIX_ACL),
            cache_strategy: CacheStrategy::Readaround,
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
            CACHE_STRATEGY => self.cache_strategy = CacheStrategy::from_number(param.choice()),
            _ => return Err(EINVAL),
        }
        Ok(())
    }
}

/// The options in effect, which a remount may change at any time.
pub(crate) struct Effective {
    user_xattr: Atomic<bool>,
    acl: Atomic<bool>,
    cache_strategy: Atomic<u32>,
}

impl Effective {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            user_xattr: Atomic::new(options.user_xattr),
            acl: Atomic::new(options.acl),
            cache_strategy: Atomic::new(options.cache_strategy as u32),
        }
    }

    /// Takes over what a remount may change; the others are as they were given at first.
    pub(crate) fn change(&self, options: &Options) {
        self.user_xattr.store(options.user_xattr, Relaxed);
        self.acl.store(options.acl, Relaxed);
        self.cache_strategy
            .store(options.cache_strategy as u32, Relaxed);
    }

    pub(crate) fn user_xattr(&self) -> bool {
        self.user_xattr.load(Relaxed)
    }

    pub(crate) fn cache_strategy(&self) -> CacheStrategy {
        CacheStrategy::from_number(self.cache_strategy.load(Relaxed))
    }

    /// `compressed` is whether the image can have compressed files.
    pub(crate) fn show(&self, seq: &SeqFile, compressed: bool) {
        let no = |on: &Atomic<bool>| if on.load(Relaxed) { "" } else { "no" };
        seq_print!(seq, ",{}user_xattr", no(&self.user_xattr));
        if cfg!(CONFIG_FS_POSIX_ACL) {
            seq_print!(seq, ",{}acl", no(&self.acl));
        }
        if compressed {
            let name = CacheStrategy::NAMES[self.cache_strategy() as usize];
            seq_print!(seq, ",cache_strategy={name}");
        }
    }
}
