import CGuestChannel
public import Custody

/// A firmware image that is a whole guest: it is up in milliseconds and does as it is told.
///
/// It runs on QEMU's machine `pc`, as its firmware (`<loader readonly='yes' type='rom'>`, `-bios`). Its first serial line
/// is a console of single letters: it prints `U` when it is up, takes `a`, `r` or `i` (accept, refuse or ignore the removal
/// of devices; it says `A`, `R` or `I`), and prints `m` or `p` for a memory or PCI device that it let go, `f` for one that
/// it kept. Its second serial line is a channel for ``ChannelConnection``. The guest uses the memory below 1 MiB; the
/// rest, and whatever is plugged in below 64 GiB, is there to be written and read.
public enum MicroGuestImage {
    /// The image: 64 KiB.
    ///
    /// - Throws: `BackendError` with code `unsupported` on a machine that is not x86-64.
    public static func bytes() throws(BackendError) -> [UInt8] {
        guard let start = unsafe micro_guest_image() else {
            throw BackendError(.unsupported, "the micro guest is made for x86-64")
        }
        return unsafe Array(UnsafeRawBufferPointer(start: start, count: Int(MICRO_GUEST_SIZE)))
    }
}
