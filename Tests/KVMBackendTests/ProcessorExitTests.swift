import CKVM
import Custody
import Synchronization
import SystemPackage
import Testing

@testable import KVMBackend

/// Every reason that a processor can come out of the guest for, decoded from a page as the kernel leaves it, and answered.
@Suite struct ProcessorExitTests {
    /// A page as it is shared with the kernel, filled by hand.
    @safe final class Page {
        private let start = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 8)
        let run: RunPage

        init(_ reason: UInt32, _ words: [UInt64] = []) throws {
            unsafe start.initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
            unsafe start.storeBytes(of: reason, toByteOffset: 8, as: UInt32.self)
            for (index, word) in words.enumerated() {
                unsafe start.storeBytes(of: word, toByteOffset: 32 + 8 * index, as: UInt64.self)
            }
            run = try #require(unsafe RunPage(start, length: 4096))
        }

        deinit { unsafe start.deallocate() }

        subscript(offset: Int) -> UInt8 {
            get { unsafe start.load(fromByteOffset: offset, as: UInt8.self) }
            set { unsafe start.storeBytes(of: newValue, toByteOffset: offset, as: UInt8.self) }
        }

        func exit(_ errno: Errno? = nil) throws -> ProcessorExit { try ProcessorExit(run: run, errno: errno) }
    }

    /// What each reason is decoded to from details of given words; where there are none, from zeroes.
    private static let expected: [(reason: UInt32, words: [UInt64], exit: ProcessorExit)] = [
        (0, [0x31], .hardware(reason: 0x31)),
        (1, [0x5_0000_000E], .exception(number: 14, errorCode: 5)),
        (2, [0x1_03F8_0201, 0x200], .io(.init(port: 0x3F8, isOutput: true, size: 2, count: 1))),
        (2, [0x7_0060_0100, 0x200], .io(.init(port: 0x60, isOutput: false, size: 1, count: 7))),
        (3, [12, 0x1000, 2, 0x10], .hypercall(Hypercall(number: 12, arguments: [0x1000, 2, 0x10]))),
        (
            4, [1, 0x40_1000, 0xFFFF_0FF0, 0x400],
            .debug(.init(exception: 1, instruction: 0x40_1000, dr6: 0xFFFF_0FF0, dr7: 0x400))
        ),
        (5, [], .halt),
        (
            6, [0xFEE0_0000, 0x1122_3344_5566_7788, 4],
            .mmio(.init(address: GuestPhysicalAddress(0xFEE0_0000), length: 4))
        ),
        (
            6, [0xFEE0_0000, 0x1122_3344_5566_7788, 0x1_0000_0004],
            .mmio(.init(address: GuestPhysicalAddress(0xFEE0_0000), length: 4, value: 0x5566_7788))
        ),
        (
            6, [8, 0x1122_3344_5566_7788, 0x1_0000_0008],
            .mmio(.init(address: GuestPhysicalAddress(8), length: 8, value: 0x1122_3344_5566_7788))
        ),
        (7, [], .interruptWindowOpen),
        (8, [], .shutdown),
        (9, [0x8000_0021, 3], .failedEntry(reason: 0x8000_0021, hostProcessor: 3)),
        (10, [], .interrupted),
        (11, [], .setTaskPriority),
        (12, [0x1234, 1], .taskPriorityAccess(instruction: 0x1234, isWrite: true)),
        (13, [], .foreign(.s390Intercept)),
        (14, [], .foreign(.s390Reset)),
        (15, [], .foreign(.deviceControlRegister)),
        (16, [], .foreign(.nonMaskableInterrupt)),
        (17, [0x2_0000_0001, 7, 8, 9], .internalError(.init(code: .emulation, data: [7, 8]))),
        (18, [], .foreign(.osi)),
        (19, [], .foreign(.paprHypercall)),
        (20, [], .foreign(.s390UserControl)),
        (21, [], .foreign(.watchdog)),
        (22, [], .foreign(.s390TestSubchannel)),
        (23, [], .foreign(.externalProxy)),
        (24, [0x1_0000_0002, 0xAB], .systemEvent(.init(kind: .reset, data: [0xAB]))),
        (25, [], .foreign(.s390StoreSystemInformation)),
        (26, [0x31], .endOfInterrupt(vector: 0x31)),
        (27, [2], .hyperV(type: 2)),
        (28, [], .foreign(.armNoSyndrome)),
        (29, [0, 0x1B_0000_0002], .readMSR(.init(index: 0x1B, value: nil, reason: 2))),
        (30, [0, 0x1B_0000_0004, 0x99], .writeMSR(.init(index: 0x1B, value: 0x99, reason: 4))),
        (31, [], .dirtyRingFull),
        (32, [], .processorResetHold),
        (33, [], .busLock),
        (34, [1], .xen(type: 1)),
        (35, [], .foreign(.riscvSBI)),
        (36, [], .foreign(.riscvCSR)),
        (37, [1], .notify(isContextInvalid: true)),
        (38, [], .foreign(.loongarchIOCSR)),
        (
            39, [8, 0x7000, 0x1000],
            .memoryFault(.init(address: GuestPhysicalAddress(0x7000), size: 0x1000, isPrivate: true))
        ),
        (40, [1, 0x10001], .tdx(number: 0x10001, flags: 1)),
        (41, [], .foreign(.armExternalAbort)),
        (42, [], .foreign(.armLoadStore64)),
        (43, [0x9000, 4], .certificateRequest(address: GuestPhysicalAddress(0x9000), pages: 4)),
    ]

    @Test func everyReasonIsDecoded() throws {
        for (reason, words, exit) in ProcessorExitTests.expected {
            #expect(try Page(reason, words).exit() == exit, "reason \(reason)")
        }
        // Every number up to the last is there, and has its name.
        #expect(Set(ProcessorExitTests.expected.map(\.reason)) == Set(0...43))
        #expect(ProcessorExitReason.allCases.map(\.rawValue) == Array(0...43))
    }

    @Test(arguments: [44, 45, 99, 1 << 31, UInt32.max]) func whatIsNotKnownIsSaid(number: UInt32) throws {
        #expect(try Page(number).exit() == .unknown(number))
    }

    @Test func errorsThatAreExits() throws {
        for errno in [Errno.interrupted, .resourceTemporarilyUnavailable] {
            #expect(try Page(6, [1, 2, 3]).exit(errno) == .interrupted)
        }
        let fault = ProcessorExit.memoryFault(
            .init(address: GuestPhysicalAddress(0x1000), size: 4096, isPrivate: false)
        )
        for errno in [Errno.badAddress, Errno(rawValue: 133)] {
            #expect(try Page(39, [0, 0x1000, 4096]).exit(errno) == fault)
            // The same errno with another reason is an error.
            #expect(throws: Errno.self) { try Page(5).exit(errno) }
        }
        #expect(throws: Errno.self) { try Page(39, [0, 0x1000, 4096]).exit(.invalidArgument) }
    }

    /// Whatever is in the page, nothing outside of it is touched, and nothing traps.
    @Test func arbitraryPagesAreHarmless() throws {
        var random = SystemRandomNumberGenerator()
        let handler = Devices()
        for _ in 0..<20_000 {
            let words = (0..<32).map { _ -> UInt64 in
                switch Int.random(in: 0..<4, using: &random) {
                case 0: .max
                case 1: UInt64.random(in: 0..<16, using: &random)
                default: UInt64.random(in: 0 ... .max, using: &random)
                }
            }
            let page = try Page(UInt32.random(in: 0..<48, using: &random), words)
            guard let exit = try? page.exit() else { continue }
            _ = page.run.answer(exit, of: 0, by: handler, requests: Refusing())
        }
    }

    // MARK: Answers

    /// A machine's devices, each of which answers something of its own.
    final class Devices: ProcessorExitHandler {
        let log = Mutex<[String]>([])
        private func note(_ text: String) { log.withLock { $0.append(text) } }

        func readMemory(at address: GuestPhysicalAddress, byteCount: Int) -> UInt64 {
            note("read \(address.rawValue) \(byteCount)")
            return 0x1122_3344_5566_7788
        }
        func writeMemory(_ value: UInt64, at address: GuestPhysicalAddress, byteCount: Int) {
            note("write \(value) \(address.rawValue) \(byteCount)")
        }
        func readPort(_ port: UInt16, byteCount: Int) -> UInt32 {
            note("in \(port) \(byteCount)")
            return 0xA1B2_C3D4
        }
        func writePort(_ value: UInt32, to port: UInt16, byteCount: Int) { note("out \(value) \(port) \(byteCount)") }
        func call(_ hypercall: Hypercall) -> HypercallResult {
            note("call \(hypercall.number)")
            return HypercallResult(rawValue: 77)
        }
        func readMSR(_ index: UInt32) -> UInt64? { index == 1 ? 0x99 : nil }
        func writeMSR(_ value: UInt64, to index: UInt32) -> Bool { index == 1 }
        func decide(on exit: ProcessorExit) -> ProcessorDecision { exit == .halt ? .resume : .stop }
        var notes: [String] { log.withLock { $0 } }
    }

    private func answer(_ page: Page, _ devices: Devices, _ requests: any GuestRequestHandler = Refusing()) throws
        -> ProcessorDecision
    {
        page.run.answer(try page.exit(), of: 3, by: devices, requests: requests)
    }

    @Test func memoryIsAnswered() throws {
        let devices = Devices()
        for length in 1...8 {
            let page = try Page(6, [0x5000, 0, UInt64(length)])
            #expect(try answer(page, devices) == .resume)
            // The value's low bytes, and zeroes behind them.
            for index in 0..<8 {
                let byte = UInt8(truncatingIfNeeded: 0x1122_3344_5566_7788 as UInt64 >> UInt64(8 * index))
                #expect(page[32 + CKVM_MMIO_DATA + index] == (index < length ? byte : 0))
            }
        }
        #expect(try answer(Page(6, [0x5000, 0xABCD, 0x1_0000_0002]), devices) == .resume)
        #expect(devices.notes.last == "write \(0xABCD) \(0x5000) 2")
    }

    @Test func portsAreAnswered() throws {
        let devices = Devices()
        // `rep insw`, three values: each is asked for, and stored where the kernel looks.
        let page = try Page(2, [0x3_0060_0200, 0x800])
        #expect(try answer(page, devices) == .resume)
        #expect((0..<7).map { page[0x800 + $0] } == [0xD4, 0xC3, 0xD4, 0xC3, 0xD4, 0xC3, 0])
        #expect(devices.notes == [String](repeating: "in 96 2", count: 3))
        // `out`, one value of four bytes.
        let output = try Page(2, [0x1_0CF8_0401, 0x900])
        for (index, byte) in [0x78, 0x56, 0x34, 0x12].enumerated() { output[0x900 + index] = UInt8(byte) }
        #expect(try answer(output, devices) == .resume)
        #expect(devices.notes.last == "out \(0x1234_5678) \(0xCF8) 4")
        // Values that would not lie in the page are neither read nor stored.
        let count = devices.notes.count
        for (words, offset) in [
            (0x3_0060_0200 as UInt64, 4091 as UInt64), (0x1_0060_0300, 0x800), (0x1_0060_0100, .max),
        ] {
            #expect(try answer(Page(2, [words, offset]), devices) == .resume)
        }
        #expect(devices.notes.count == count)
    }

    @Test func modelSpecificRegistersAreAnswered() throws {
        let devices = Devices()
        for (reason, index, error, data) in [
            (29, 1, 0, 0x99), (29, 2, 1, 0), (30, 1, 0, 5), (30, 2, 1, 5),
        ] as [(UInt32, UInt64, UInt8, UInt64)] {
            let page = try Page(reason, [0xFF, index << 32, 5])
            #expect(try answer(page, devices) == .resume)
            #expect(page[32 + CKVM_MSR_ERROR] == error)
            #expect(page.run[CKVM_MSR_DATA] == (reason == 29 ? data : 5))
        }
    }

    @Test func everyOtherExitIsTheHandlersWord() throws {
        let devices = Devices()
        #expect(try answer(Page(5), devices) == .resume)
        for reason: UInt32 in [0, 1, 4, 7, 8, 9, 11, 17, 24, 26, 27, 32, 33, 34, 37, 40, 43, 99] {
            #expect(try answer(Page(reason), devices) == .stop)
        }
        #expect(try answer(Page(10), devices) == .resume)
    }

    // MARK: KVM_HC_MAP_GPA_RANGE

    private func call(_ arguments: UInt64..., number: UInt64 = 12) -> Hypercall {
        Hypercall(number: number, arguments: arguments)
    }

    @Test func pageSizesAreDecoded() throws {
        for (bits, size) in [(0, PageSize.base), (1, .large), (2, .huge)] as [(UInt64, PageSize)] {
            let shared = try #require(MapGPARange(call(0x20_0000, 512, bits)))
            #expect(shared.pageSize == size)
            #expect(!shared.isEncrypted)
            // The count is of pages of 4 KiB, whatever the size.
            #expect(
                shared.request(from: 3)
                    == GuestRequest(
                        processor: 3,
                        address: 0x20_0000,
                        byteCount: 512 * 4096,
                        target: .shared
                    )
            )
            let encrypted = try #require(MapGPARange(call(0x20_0000, 1, bits | 1 << 4)))
            #expect(encrypted.isEncrypted && encrypted.pageSize == size)
            #expect(encrypted.request(from: 0).target == .private)
        }
    }

    @Test func nonsenseIsNotDecoded() {
        // Page sizes that there are not, and each bit that is to be zero.
        for bits in UInt64(3)...15 { #expect(MapGPARange(call(0x1000, 1, bits)) == nil) }
        for bit in UInt64(5)..<64 { #expect(MapGPARange(call(0x1000, 1, 1 << bit)) == nil) }
        // Addresses within a page, no pages, and counts beyond the end.
        for bit in UInt64(0)..<12 { #expect(MapGPARange(call(1 << bit, 1, 0)) == nil) }
        #expect(MapGPARange(call(0x1000, 0, 0)) == nil)
        #expect(MapGPARange(call(0x1000, .max, 0)) == nil)
        #expect(MapGPARange(call(0x1000, 1 << 52, 0)) == nil)
        #expect(MapGPARange(call(.max - 4095, 2, 0)) == nil)
        #expect(MapGPARange(call(0x1000, 1, 0, number: 11)) == nil)
        // The last page of all, and a range to the very end.
        #expect(MapGPARange(call(.max - 4095, 1, 0)) != nil)
        #expect(MapGPARange(call(0, (1 << 52) - 1, 0)) != nil)
    }

    @Test func theGuestIsToldWhatBecameOfIt() throws {
        let devices = Devices()
        for (reply, result) in [
            (.done, 0), (.refused, UInt64(bitPattern: -22)),
            (.retry(from: GuestPhysicalAddress(0x5000)), UInt64(bitPattern: -11)),
        ] as [(GuestReply, UInt64)] {
            let requests = Answering { _ in reply }
            let page = try Page(3, [12, 0x4000, 2, 0x10])
            #expect(try answer(page, devices, requests) == .resume)
            #expect(page.run[CKVM_HYPERCALL_RESULT] == result)
            #expect(
                requests.requests == [
                    GuestRequest(processor: 3, address: 0x4000, byteCount: 8192, target: .private)
                ]
            )
            // The protocols of encrypted guests have the number itself.
            #expect(HypercallResult(reply).statusForEncryptedGuest == 0 &- result)
        }
        // Nonsense never gets as far as a handler.
        let requests = Answering { _ in .done }
        let page = try Page(3, [12, 0x4001, 2, 0x10])
        #expect(try answer(page, devices, requests) == .resume)
        #expect(page.run[CKVM_HYPERCALL_RESULT] == UInt64(bitPattern: -22))
        #expect(requests.requests.isEmpty)
        // Another call is the monitor's.
        let other = try Page(3, [11, 1, 2, 3])
        #expect(try answer(other, devices, requests) == .resume)
        #expect(other.run[CKVM_HYPERCALL_RESULT] == UInt64(77))
        #expect(HypercallResult.noSuchCall.rawValue == UInt64(bitPattern: -1000))
    }
}
