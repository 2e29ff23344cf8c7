// SPDX-License-Identifier: GPL-2.0-only
/* Defines the tracepoints, with the entries for Rust. */
#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "tracepoints.h"
