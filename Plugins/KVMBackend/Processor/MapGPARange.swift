import CKVM
public import Custody

/// A guest's request to make pages private or shared: the hypercall `KVM_HC_MAP_GPA_RANGE`.
///
/// By the kernel's `Documentation/virt/kvm/x86/hypercalls.rst`: the address of a page, a number of 4 KiB pages whatever the
/// page size, and attributes (bits 0 to 3 the preferred page size, bit 4 encrypted, all others zero). Everything in it is
/// the guest's and checked here.
public struct MapGPARange: Sendable, Hashable {
    /// The hypercall's number.
    public static let number = UInt64(CKVM_HC_MAP_GPA_RANGE)

    /// The first page's address.
    public let address: GuestPhysicalAddress
    /// The number of 4 KiB pages.
    public let pageCount: UInt64
    /// The page size by which the guest maps the range: a hint.
    public let pageSize: PageSize
    /// Whether the pages are to be encrypted: private to the guest.
    public let isEncrypted: Bool

    /// Reads the arguments of a call.
    ///
    /// - Returns: `nil` for another call, an address within a page, no pages, pages beyond the end of the address space,
    ///   a page size that there is not, or a reserved bit.
    public init?(_ call: Hypercall) {
        guard call.number == MapGPARange.number else { return nil }
        let (address, pages, attributes) = (call.arguments[0], call.arguments[1], call.arguments[2])
        let (bytes, tooMany) = pages.multipliedReportingOverflow(by: PageSize.base.bytes)
        guard address % PageSize.base.bytes == 0, pages > 0, !tooMany,
            !address.addingReportingOverflow(bytes - 1).overflow, attributes >> 5 == 0
        else { return nil }
        switch attributes & 0xF {
        case 0: pageSize = .base
        case 1: pageSize = .large
        case 2: pageSize = .huge
        default: return nil
        }
        self.address = GuestPhysicalAddress(address)
        pageCount = pages
        isEncrypted = attributes & 1 << 4 != 0
    }

    /// The request as the policy layer takes it.
    public func request(from processor: Int) -> GuestRequest {
        GuestRequest(
            processor: processor,
            address: address.rawValue,
            byteCount: pageCount &* PageSize.base.bytes,
            target: isEncrypted ? .private : .shared
        )
    }
}

extension HypercallResult {
    /// What a guest is told that asked with ``MapGPARange``.
    ///
    /// The call has no place for an address to go on from: a guest that is told to try again makes the same call, and the
    /// pages that are done already stay as they are.
    public init(_ reply: GuestReply) {
        self =
            switch reply {
            case .done: .success
            case .retry: .tryAgain
            case .refused: .invalidArgument
            }
    }
}
