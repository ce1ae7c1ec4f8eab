import Custody
import GuestChannel

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The guest's end of a channel, in a thread of the test: it receives with the codec of the host, and does what it is told.
final class GuestEnd: Sendable {
    private let descriptor: Int32
    private let isClosed = Locked(false)

    /// Both ends: the host's as a descriptor to be taken over.
    static func pair() throws -> (guest: GuestEnd, host: Int32) {
        var ends: [Int32] = [0, 0]
        guard unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else {
            throw BackendError(.system, "socketpair: errno \(errno)")
        }
        return (GuestEnd(ends[0]), ends[1])
    }

    /// Both ends of a line that takes part of a frame where it has no room for all of it, as a TCP connection does.
    static func tearingPair() throws -> (guest: GuestEnd, host: Int32) {
        func make() throws -> Int32 {
            let made = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            guard made >= 0 else { throw BackendError(.system, "socket: errno \(errno)") }
            return made
        }
        func withAddress(_ address: inout sockaddr_in, _ call: (UnsafeMutablePointer<sockaddr>) -> Int32) throws {
            let status = unsafe withUnsafeMutablePointer(to: &address) {
                unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe call($0) }
            }
            guard status >= 0 else { throw BackendError(.system, "TCP: errno \(errno)") }
        }
        let (listener, host) = (try make(), try make())
        defer { Glibc.close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        try unsafe withAddress(&address) { unsafe bind(listener, $0, size) }
        try unsafe withAddress(&address) { unsafe getsockname(listener, $0, &size) }
        guard listen(listener, 1) == 0 else { throw BackendError(.system, "listen: errno \(errno)") }
        try unsafe withAddress(&address) { unsafe connect(host, $0, size) }
        let guest = accept(listener, nil, nil)
        guard guest >= 0 else { throw BackendError(.system, "accept: errno \(errno)") }
        return (GuestEnd(guest), host)
    }

    /// Takes over a connected descriptor.
    init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { Glibc.close(descriptor) }

    func close() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = unsafe rest.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard sent > 0 else { return }
            rest = rest.dropFirst(sent)
        }
    }

    func receive() -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
            unsafe count = max(0, recv(descriptor, buffer.baseAddress, 4096, 0))
        }
    }

    /// Takes frames, and answers each with what `behave` says, until the other end closes.
    func run(_ behave: @escaping @Sendable (ChannelFrame) -> [ChannelFrame]) throws {
        try Thread.start { [self] in
            var decoder = ChannelDecoder()
            while case let bytes = receive(), !bytes.isEmpty {
                for frame in decoder.frames(in: bytes) {
                    for answer in behave(frame) { send(answer.bytes) }
                }
            }
        }
    }

    /// A guest with a little memory at address 0 that does everything it is told, and asks what it is told to ask.
    static func obedient() -> @Sendable (ChannelFrame) -> [ChannelFrame] {
        struct State {
            var memory = [UInt8](repeating: 0, count: 4096)
            var asked: UInt32?
        }
        let state = Locked(State())
        return { frame in
            func field(_ offset: Int) -> UInt64 {
                (0..<8).reduce(0) { $0 | UInt64(frame.payload[offset + $1]) << UInt64(8 * $1) }
            }
            func result(_ result: ChannelResult, _ id: UInt32) -> [ChannelFrame] { (try? [result.frame(id: id)]) ?? [] }
            return state.withLock { state in
                switch frame.type {
                case 0x47:
                    return [ChannelRequest.hello(lowest: 1, highest: 1, features: [.commands, .memory]).frame(id: 1)]
                        + result(ChannelResult(.done), frame.id)
                case 0x40:
                    state.asked = frame.id
                    let request = try? ChannelFrame(
                        type: frame.payload[16],
                        id: frame.id + 1000,
                        payload: Array(frame.payload.prefix(16))
                    )
                    return request.map { [$0] } ?? []
                case 0x80:
                    guard let asked = state.asked, frame.id == asked + 1000 else { return [] }
                    var answer = ChannelResult(.done)
                    answer.data = frame.payload
                    return result(answer, asked)
                case 0x41, 0x42:
                    let range = field(0)..<(field(0) + field(8))
                    guard range.upperBound <= 4096 else {
                        var fault = ChannelResult(.fault)
                        fault.address = range.lowerBound
                        return result(fault, frame.id)
                    }
                    let bytes = Int(range.lowerBound)..<Int(range.upperBound)
                    if frame.type == 0x41 {
                        state.memory.replaceSubrange(bytes, with: frame.payload[24...])
                        return result(ChannelResult(.done), frame.id)
                    }
                    var answer = ChannelResult(.done)
                    answer.data = Array(state.memory[bytes])
                    return result(answer, frame.id)
                case 0x43: return result(ChannelResult(.done), frame.id)
                case 0x44...0x7f: return result(ChannelResult(.unknownType), frame.id)
                default: return []
                }
            }
        }
    }
}
