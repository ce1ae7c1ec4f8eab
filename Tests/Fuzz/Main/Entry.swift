import FuzzTargets

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The target that the environment names in `CUSTODY_FUZZ_TARGET`.
private let target: FuzzTarget = {
    let name = unsafe getenv("CUSTODY_FUZZ_TARGET").map { unsafe String(cString: $0) } ?? ""
    guard let target = FuzzTarget(rawValue: name) else {
        print("CUSTODY_FUZZ_TARGET is one of \(FuzzTarget.allCases.map(\.rawValue).joined(separator: ", "))")
        exit(64)
    }
    return target
}()

/// What libFuzzer calls with each input.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    let bytes = unsafe Array(UnsafeBufferPointer(start: start, count: count))
    do throws(FuzzTarget.Failure) {
        try target.run(bytes)
    } catch {
        print("\(error)")
        // A finding, as a trap is one.
        abort()
    }
    return 0
}
