import CKVM

/// One command of the guest program, as it stands in a mailbox.
package enum GuestCommand: Sendable, Hashable {
    /// Store these bytes, at most a mailbox's data.
    case write([UInt8], address: UInt64)
    /// Load so many bytes, at most a mailbox's data.
    case read(count: UInt64, address: UInt64)
    /// Store the eight bytes of `pattern` again and again.
    case fill(pattern: UInt64, address: UInt64, count: UInt64)
    /// The 64-bit FNV-1a hash of the bytes.
    case checksum(address: UInt64, count: UInt64)
    /// The offset of the first byte that is not `byte`, or `count`.
    case compare(byte: UInt8, address: UInt64, count: UInt64)
    /// Ask for a conversion.
    case request(address: UInt64, count: UInt64, target: UInt64)
    /// So many times: increment the eight bytes at every 64th byte.
    case hammer(passes: UInt64, address: UInt64, count: UInt64)
    /// Make the hypercall `KVM_HC_MAP_GPA_RANGE`; the result is what it returns.
    case hypercall(address: UInt64, pages: UInt64, attributes: UInt64)
    /// Ask for these conversions one after the other, at most ``requestCapacity``; the replies are in the bytes.
    case requests([Request])
    /// End the program.
    case end

    /// One request among ``requests(_:)``.
    package struct Request: Sendable, Hashable {
        /// The first byte's address.
        package let address: UInt64
        /// The number of bytes.
        package let count: UInt64
        /// The number of the ownership asked for.
        package let target: UInt64

        /// Describes a request, whether it makes sense or not.
        package init(address: UInt64, count: UInt64, target: UInt64) {
            self.address = address
            self.count = count
            self.target = target
        }
    }

    /// The number of requests that fit into a mailbox.
    package static let requestCapacity = Int(CKVM_MAILBOX_DATA_SIZE) / Int(CKVM_ENTRY_SIZE)

    /// The number of bytes that fit into a mailbox.
    package static let dataCapacity = UInt64(CKVM_MAILBOX_DATA_SIZE)

    /// The command's number and its three operands.
    var fields: (code: UInt32, address: UInt64, count: UInt64, value: UInt64) {
        switch self {
        case .write(let bytes, let address): (UInt32(CKVM_COMMAND_WRITE), address, UInt64(bytes.count), 0)
        case .read(let count, let address): (UInt32(CKVM_COMMAND_READ), address, count, 0)
        case .fill(let pattern, let address, let count): (UInt32(CKVM_COMMAND_FILL), address, count, pattern)
        case .checksum(let address, let count): (UInt32(CKVM_COMMAND_CHECKSUM), address, count, 0)
        case .compare(let byte, let address, let count):
            (UInt32(CKVM_COMMAND_COMPARE), address, count, UInt64(byte))
        case .request(let address, let count, let target): (UInt32(CKVM_COMMAND_REQUEST), address, count, target)
        case .hammer(let passes, let address, let count): (UInt32(CKVM_COMMAND_HAMMER), address, count, passes)
        case .hypercall(let address, let pages, let attributes):
            (UInt32(CKVM_COMMAND_HYPERCALL), address, pages, attributes)
        case .requests(let requests): (UInt32(CKVM_COMMAND_REQUESTS), 0, UInt64(requests.count), 0)
        case .end: (UInt32(CKVM_COMMAND_END), 0, 0, 0)
        }
    }

    /// The command for its first bytes alone, where it does the same to each part of them.
    func prefix(_ count: UInt64) -> GuestCommand? {
        switch self {
        case .write(let bytes, let address): .write(Array(bytes.prefix(Int(clamping: count))), address: address)
        case .read(_, let address): .read(count: count, address: address)
        case .fill(let pattern, let address, _): .fill(pattern: pattern, address: address, count: count)
        default: nil
        }
    }

    /// The bytes of memory that the command touches by itself, or `nil` where it touches none.
    var touched: (address: UInt64, count: UInt64)? {
        switch self {
        case .write, .read, .fill, .checksum, .compare, .hammer: (fields.address, fields.count)
        case .request, .requests, .hypercall, .end: nil
        }
    }
}
