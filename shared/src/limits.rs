//! Every numeric bound that more than one room relies on, each with its unit.

/// Largest frame body on any typed stream, in bytes.
pub const FRAME_MAX: usize = 16 * 1024 * 1024;
/// Largest single write to a vsock stream, in bytes. Larger writes are lost by
/// one back end under emulation.
pub const VSOCK_WRITE_MAX: usize = 16 * 1024;
/// Largest sample (image or recording) accepted from a bank, in bytes.
pub const SAMPLE_MAX: usize = 8 * 1024 * 1024;
/// Fewest frames of a face that answer a challenge.
pub const FRAMES_MIN: usize = 8;
/// Most frames of a face that answer a challenge.
pub const FRAMES_MAX: usize = 30;
/// Most pixels of such a frame.
pub const FRAME_PIXELS_MAX: u64 = 4_000_000;
/// Most words that are told of a recording of spoken digits.
pub const WORDS_MAX: usize = 16;
/// Largest HTTP request body, in bytes: a base64 sample and its JSON around it.
pub const BODY_MAX: usize = 12 * 1024 * 1024;
/// Largest batch one ledger append may carry, in bytes of stored records.
pub const BATCH_MAX: usize = 8 * 1024 * 1024;
/// Largest answer to one ledger read, in bytes of stored records.
pub const READ_MAX: usize = 4 * 1024 * 1024;
/// Time one worker job may take, in milliseconds.
pub const JOB_DEADLINE_MS: u32 = 10_000;
/// Jobs one worker session may have outstanding.
pub const JOBS_IN_FLIGHT: usize = 64;
