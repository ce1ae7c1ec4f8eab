import Custody
import Testing

@testable import KVMBackend

/// One processor's window of memory, in which it converts the selftest's ranges by its own requests.
struct ConversionWindow: Sendable {
    /// 2 MiB and a page.
    static let pages: UInt64 = 513
    /// The first page and the number of pages: a page, a large page, and both where they do not fit a large page.
    static let ranges: [(first: UInt64, count: UInt64)] = [(0, 1), (0, 512), (1, 1), (1, 512), (512, 1)]

    let backend: KVMBackend
    let processor: Int
    let whole: PageRange
    /// Whether a page keeps its bytes when it changes hands, as in a file whose own attribute changes.
    var keepsBytes = false

    /// Has each processor do the case in a window of its own in each region, all at once.
    ///
    /// The regions do not touch, so that each is a memory slot.
    static func run(_ tested: ModeUnderTest, processors: Int, regions: Int) throws {
        let stride: UInt64 = 1024
        let perRegion = UInt64(processors) * stride
        let layout = try GuestMemoryLayout(
            regions: try (0..<UInt64(regions)).map { try Guests.range($0 * (perRegion + stride), perRegion) }
        )
        let backend = try KVMBackend(
            GuestConfiguration(layout: layout, processors: processors),
            mode: tested.mode,
            kernel: tested.makeKernel(),
            slotLimit: nil
        )
        #expect(backend.slotRuns.filter { $0.backing != .none }.count == regions)
        let ends = Monitor<[Result<Void, any Error>]>([])
        for processor in 0..<processors {
            let windows = try layout.regions.map { region in
                let first = region.start.rawValue + UInt64(processor) * stride
                return ConversionWindow(
                    backend: backend,
                    processor: processor,
                    whole: try PageRange(start: PageNumber(first), count: pages),
                    keepsBytes: tested.mode == .inPlace
                )
            }
            try Thread.start {
                let end = Result { for window in windows { try window.convertEachRange() } }
                ends.update { $0.append(end) }
            }
        }
        let all = try #require(ends.wait(for: .seconds(50)) { $0.count == processors ? $0 : nil })
        for end in all { try end.get() }
        // Everything is shared again, and no window has cost a slot for ever.
        #expect(backend.slotRuns.filter { $0.backing != .none }.count == regions)
    }

    /// The case for one window.
    private func convertEachRange() throws {
        for part in ConversionWindow.ranges {
            let range = try ConversionWindow.range(part, in: whole)
            let rests = ConversionWindow.rest(of: range, in: whole)
            try fill(0xCC, whole)
            try require(holds(0xCC, whole))
            try require(hostHolds(0xCC, whole))
            // Private: the guest finds nothing of what was there, or all of it, its neighbours lose nothing, and the host
            // is stopped.
            try request(range, .private)
            try require(holds(keepsBytes ? 0xCC : 0, range))
            try fill(0x11, range)
            for rest in rests {
                try require(holds(0xCC, rest))
                try backend.hostWrite([UInt8](repeating: 0x22, count: Int(rest.byteCount)), to: rest.address)
                try require(holds(0x22, rest))
            }
            try require(holds(0x11, range))
            for page in [range.start, range.last] { try require(isClosed(page)) }
            // Odd pages go back to shared: a mix of both.
            let pages = try ConversionWindow.pages(of: range)
            for page in pages where !page.start.rawValue.isMultiple(of: 2) {
                try request(page, .shared)
                try require(holds(keepsBytes ? 0x11 : 0, page))
                try fill(0x33, page)
                try require(hostHolds(0x33, page))
            }
            for page in pages {
                let isEven = page.start.rawValue.isMultiple(of: 2)
                try require(holds(isEven ? 0x11 : 0x33, page))
                try require(isEven ? isClosed(page.start) : hostHolds(0x33, page))
            }
            // The rest follows; the host fills all of it, and the guest sees that.
            for page in pages where page.start.rawValue.isMultiple(of: 2) { try request(page, .shared) }
            try backend.hostWrite([UInt8](repeating: 0x44, count: Int(whole.byteCount)), to: whole.address)
            try require(holds(0x44, whole))
        }
    }

    // MARK: What the guest does

    /// Has the processor ask for a conversion, which is carried out before it goes on.
    private func request(_ range: PageRange, _ target: Ownership) throws {
        let handler = Answering { [backend] request in
            do {
                let range = try PageRange(
                    address: GuestPhysicalAddress(request.address),
                    byteCount: request.byteCount
                )
                try backend.change(range, from: request.target == .shared ? .private : .shared, to: request.target)
                return .done
            } catch { return .refused }
        }
        let command = GuestCommand.request(
            address: range.address.rawValue,
            count: range.byteCount,
            target: UInt64(target.rawValue)
        )
        let result = try backend.execute(command, on: processor, answeringTo: handler)
        try require(result == .done(value: 0, address: 0, bytes: []))
    }

    /// Has the processor fill pages with one byte.
    func fill(_ byte: UInt8, _ range: PageRange) throws {
        let command = GuestCommand.fill(
            pattern: UInt64(byte) &* 0x0101_0101_0101_0101,
            address: range.address.rawValue,
            count: range.byteCount
        )
        guard case .done = try backend.execute(command, on: processor, answeringTo: Refusing()) else {
            throw Unexpected.outcome
        }
    }

    /// Whether the processor finds one byte everywhere in some pages.
    func holds(_ byte: UInt8, _ range: PageRange) throws -> Bool {
        let command = GuestCommand.compare(byte: byte, address: range.address.rawValue, count: range.byteCount)
        let result = try backend.execute(command, on: processor, answeringTo: Refusing())
        return result == .done(value: range.byteCount, address: 0, bytes: [])
    }

    // MARK: What the host does

    private func hostHolds(_ byte: UInt8, _ range: PageRange) throws -> Bool {
        Touch.uniform(try backend.hostRead(Int(range.byteCount), from: range.address), byte)
    }

    private func isClosed(_ page: PageNumber) -> Bool {
        let fault = backend.hostError(at: page.address)?.fault
        return fault?.enforcement == .kernel && fault?.address == page.address
    }

    /// An expectation that ends the processor's case: what comes after it means nothing then.
    private func require(_ condition: Bool, line: Int = #line) throws {
        guard condition else { throw Failure(window: whole, line: line) }
    }

    /// Where an expectation was not met.
    struct Failure: Error {
        let window: PageRange
        let line: Int
    }

    // MARK: Ranges

    static func range(_ part: (first: UInt64, count: UInt64), in whole: PageRange) throws -> PageRange {
        try PageRange(start: PageNumber(whole.start.rawValue + part.first), count: part.count)
    }

    /// The pages of a window before and after a range.
    static func rest(of range: PageRange, in whole: PageRange) -> [PageRange] {
        [whole.prefix(before: range.start), whole.suffix(from: PageNumber(range.end))].compactMap { $0 }
    }

    /// Each page by itself.
    static func pages(of range: PageRange) throws -> [PageRange] {
        try (range.start.rawValue..<range.end).map { try PageRange(PageNumber($0)) }
    }
}
