import Glibc

/// A system call by its number on x86-64, where the C library has no function for it that Swift can call.
enum RawCall: Int {
    case mbind = 237
    case getMempolicy = 239
    case fallocate = 285

    private typealias Function = @convention(c) (Int, Int, Int, Int, Int, Int, Int) -> Int

    /// Makes the call; -1 with `errno` where it fails.
    ///
    /// Swift cannot call a variadic function. `syscall(2)` finds its integers where any function of seven has them.
    func make(_ a: Int, _ b: Int, _ c: Int, _ d: Int, _ e: Int = 0, _ f: Int = 0) -> Int {
        guard let symbol = unsafe dlsym(nil, "syscall") else {
            errno = ENOSYS
            return -1
        }
        return unsafe unsafeBitCast(symbol, to: Function.self)(rawValue, a, b, c, d, e, f)
    }
}
