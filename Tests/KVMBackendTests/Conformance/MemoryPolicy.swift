import Glibc
import SystemPackage

/// Which NUMA nodes pages come from: `mbind(2)` and `get_mempolicy(2)`, which the C library does not have.
enum MemoryPolicy: Int {
    case `default` = 0
    case preferred = 1
    case bind = 2
    case interleave = 3

    /// What the kernel says against a policy for some pages.
    static func bind(_ address: UInt, _ length: Int, _ policy: MemoryPolicy, nodes: UInt) -> Errno? {
        bind(address, length, number: policy.rawValue, nodes: nodes)
    }

    static func bind(_ address: UInt, _ length: Int, number: Int, nodes: UInt) -> Errno? {
        var nodes = nodes
        return unsafe withUnsafeMutablePointer(to: &nodes) { pointer in
            // The default policy goes with no mask at all.
            let mask = unsafe pointer.pointee == 0 ? 0 : Int(bitPattern: pointer)
            return objection(RawCall.mbind.make(Int(bitPattern: address), length, number, mask, mask == 0 ? 0 : 64))
        }
    }

    /// The nodes of this machine.
    static var nodes: [UInt] {
        (UInt(0)..<64).filter { unsafe access("/sys/devices/system/node/node\($0)/meminfo", F_OK) == 0 }
    }

    /// The node that the page at an address is on.
    static func node(of address: UInt) -> UInt? {
        var node: Int32 = -1
        let result = unsafe withUnsafeMutablePointer(to: &node) { node in
            // MPOL_F_NODE | MPOL_F_ADDR.
            RawCall.getMempolicy.make(Int(bitPattern: node), 0, 0, Int(bitPattern: address), 3)
        }
        return result == 0 ? UInt(exactly: node) : nil
    }

    /// The policy of the page at an address.
    static func ask(_ address: UInt) -> (policy: MemoryPolicy?, nodes: UInt)? {
        var policy: Int32 = -1
        var nodes = [UInt](repeating: 0, count: 16)
        let result = unsafe withUnsafeMutablePointer(to: &policy) { policy in
            unsafe nodes.withUnsafeMutableBufferPointer { nodes in
                // 2: MPOL_F_ADDR.
                RawCall.getMempolicy.make(
                    Int(bitPattern: policy),
                    Int(bitPattern: nodes.baseAddress),
                    nodes.count * 64,
                    Int(bitPattern: address),
                    2
                )
            }
        }
        return result == 0 ? (MemoryPolicy(rawValue: Int(policy)), nodes[0]) : nil
    }
}
