import CKVM
package import Custody

/// One processor's mailbox page, from the host's side. The guest can write to it at any time, so each field is read
/// once and nothing that is read is believed. `ckvm_guest.h` has the layout.
@safe struct Mailbox: Sendable {
    // Sendable: the address of memory that atomic loads and stores alone touch, or that a processor out of the guest
    // lends to its own thread. Whoever has a mailbox keeps the boot memory alive.
    private nonisolated(unsafe) let page: UnsafeMutableRawPointer

    @unsafe init(page: UnsafeMutableRawPointer) { unsafe self.page = page }

    /// Puts a command in. Data beyond a mailbox's capacity is left out.
    func put(_ command: GuestCommand) {
        let (code, address, count, value) = command.fields
        // Command in the low half, status in the high half.
        store(UInt64(code), at: CKVM_MAILBOX_COMMAND)
        store(address, at: CKVM_MAILBOX_ADDRESS)
        store(min(count, command.limit), at: CKVM_MAILBOX_COUNT)
        store(value, at: CKVM_MAILBOX_VALUE)
        let bytes: [UInt8]
        switch command {
        case .write(let written, _): bytes = written
        case .requests(let requests): bytes = requests.flatMap(\.bytes)
        default: return
        }
        let data = unsafe UnsafeMutableRawBufferPointer(
            start: page + Int(CKVM_MAILBOX_DATA),
            count: Int(CKVM_MAILBOX_DATA_SIZE)
        )
        unsafe data.copyBytes(from: bytes.prefix(data.count))
    }

    /// Whether the guest says that the command is done.
    var isDone: Bool { load(CKVM_MAILBOX_COMMAND) >> 32 == UInt64(CKVM_STATUS_DONE) }

    /// The two results.
    var results: (value: UInt64, address: UInt64) {
        (load(CKVM_MAILBOX_RESULT), load(CKVM_MAILBOX_RESULT_ADDRESS))
    }

    /// The first `count` bytes of the data, or all of it where that is less.
    func data(count: UInt64) -> [UInt8] {
        let count = Int(min(count, GuestCommand.dataCapacity))
        return unsafe Array(UnsafeRawBufferPointer(start: page + Int(CKVM_MAILBOX_DATA), count: count))
    }

    /// What the guest asks for.
    var request: (address: UInt64, count: UInt64, target: UInt64) {
        (
            load(CKVM_MAILBOX_REQUEST_ADDRESS), load(CKVM_MAILBOX_REQUEST_COUNT),
            load(CKVM_MAILBOX_REQUEST_TARGET)
        )
    }

    /// Puts the answer to a request in.
    func put(_ reply: GuestReply) {
        let (code, address): (UInt64, UInt64) =
            switch reply {
            case .done: (0, 0)
            case .retry(let address): (1, address.rawValue)
            case .refused: (2, 0)
            }
        store(address, at: CKVM_MAILBOX_REPLY_ADDRESS)
        store(code, at: CKVM_MAILBOX_REPLY)
    }

    /// The reply that two results stand for, or `nil` where they stand for none.
    static func reply(value: UInt64, address: UInt64) -> GuestReply? {
        switch value {
        case 0: .done
        case 1: .retry(from: GuestPhysicalAddress(address))
        case 2: .refused
        default: nil
        }
    }

    private func load(_ offset: Int32) -> UInt64 {
        unsafe ckvm_load_word((page + Int(offset)).assumingMemoryBound(to: UInt64.self))
    }

    private func store(_ value: UInt64, at offset: Int32) {
        unsafe ckvm_store_word((page + Int(offset)).assumingMemoryBound(to: UInt64.self), value)
    }
}

extension GuestCommand {
    /// The largest count that the guest is told.
    fileprivate var limit: UInt64 {
        switch self {
        case .write, .read: GuestCommand.dataCapacity
        case .requests: UInt64(GuestCommand.requestCapacity)
        default: .max
        }
    }
}

extension GuestCommand.Request {
    /// The request as it stands among the data.
    fileprivate var bytes: [UInt8] {
        [address, count, target].flatMap { word in (UInt64(0)..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    }

    /// The replies to so many requests, as they stand among the data; `nil` for one that there is not.
    package static func replies(_ count: Int, in bytes: [UInt8]) -> [GuestReply?] {
        func word(_ offset: Int) -> UInt64 {
            bytes[offset..<(offset + 8)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        let size = Int(CKVM_ENTRY_SIZE)
        return stride(from: 0, to: min(count * size, bytes.count / size * size), by: size).map { entry in
            Mailbox.reply(
                value: word(entry + Int(CKVM_ENTRY_REPLY)),
                address: word(entry + Int(CKVM_ENTRY_REPLY_ADDRESS))
            )
        }
    }
}
