// SPDX-License-Identifier: GPL-2.0-only

//! Mount options, through a context as `fsopen(2)` makes it.

use super::filesystem::*;
use crate::{
    bindings,
    error::from_ptr,
    super_block::SbInfo, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// Gives `options` to a new context, one after the other, until one fails; then looks at what it
/// took in.
fn parse(
    options: &[(&CStr, Option<&CStr>)],
    look: impl FnOnce(&Options, Result) -> Result,
) -> Result {
    with_type(|fs| {
        // SAFETY: the type is registered until this closure returns.
        let fc = from_ptr(
            unsafe { bindings::fs_context_for_mount(fs.cast(), 0) },
            EINVAL,
        )?;
        let result = options.iter().try_for_each(|(key, value)| {
            let mut string = bindings::qstr::default();
            if let Some(value) = value {
                string.name = value.as_char_ptr().cast();
                string.__bindgen_anon_1.__bindgen_anon_1.len = value.to_bytes().len() as u32;
            }
            let string = value.map_or(core::ptr::null(), |_| &raw const string);
            // SAFETY: the context is live; key and value are strings.
            to_result(unsafe {
                bindings::vfs_parse_fs_qstr(fc.as_ptr(), key.as_char_ptr(), string)
            })
        });
        // SAFETY: the context carries its `SbInfo` until it is put, which is the last use of both.
        unsafe {
            let info = (*fc.as_ptr()).s_fs_info.cast::<SbInfo<TestFs>>();
            let taken = (*info).context.as_ref().ok_or(EINVAL);
            let outcome = taken.and_then(|options| look(options, result));
            bindings::put_fs_context(fc.as_ptr());
            outcome
        }
    })
}

#[kunit_tests(vfs_options)]
mod suite {
    use super::*;

    #[test]
    fn none_is_the_default() -> Result {
        parse(&[], |options, result| {
            assert_eq!(result, Ok(()));
            assert!(!options.flag);
            assert_eq!(options.toggle, None);
            assert_eq!(options.number, None);
            assert_eq!(options.choice, None);
            assert!(options.text.is_none());
            Ok(())
        })
    }

    #[test]
    fn each_kind() -> Result {
        let given = [
            (c"flag", None),
            (c"notoggle", None),
            (c"text", Some(c"a,b=c d")),
            (c"number", Some(c"18446744073709551615")),
            (c"choice", Some(c"fast")),
        ];
        parse(&given, |options, result| {
            assert_eq!(result, Ok(()));
            assert!(options.flag);
            assert_eq!(options.toggle, Some(false));
            assert_eq!(
                options.text.as_ref().map(|s| s.to_bytes()),
                Some(&b"a,b=c d"[..])
            );
            assert_eq!(options.number, Some(u64::MAX));
            assert_eq!(options.choice, Some(8));
            Ok(())
        })
    }

    #[test]
    fn the_last_one_counts() -> Result {
        let given = [
            (c"toggle", None),
            (c"choice", Some(c"fast")),
            (c"notoggle", None),
            (c"choice", Some(c"slow")),
            (c"toggle", None),
        ];
        parse(&given, |options, result| {
            assert_eq!(result, Ok(()));
            assert_eq!(options.toggle, Some(true));
            assert_eq!(options.choice, Some(7));
            Ok(())
        })
    }

    #[test]
    fn bad_ones_are_refused() -> Result {
        for bad in [
            (c"unknown", None),
            (c"noflag", None),
            (c"flag", Some(c"1")),
            (c"number", Some(c"many")),
            (c"number", Some(c"18446744073709551616")),
            (c"number", None),
            (c"choice", Some(c"other")),
            (c"text", None),
        ] {
            parse(&[(c"toggle", None), bad], |options, result| {
                assert_eq!(result, Err(EINVAL));
                assert_eq!(options.toggle, Some(true));
                assert!(!options.flag);
                assert_eq!(options.number, None);
                assert_eq!(options.choice, None);
                assert!(options.text.is_none());
                Ok(())
            })?;
        }
        Ok(())
    }
}
