import CKVM
import Custody
import SystemPackage
import Testing

@testable import KVMBackend

/// Numbers that the kernel's interface fixes, against literals from its documentation and from programs that were run.
@Suite struct ABITests {
    @Test func requestNumbers() {
        #expect(KVMRequest.checkExtension.number == 0xAE03)
        #expect(KVMRequest.createVM.number == 0xAE01)
        #expect(KVMRequest.setUserMemoryRegion.number == 0x4020_AE46)
        #expect(KVMRequest.setUserMemoryRegion2.number == 0x40A0_AE49)
        #expect(KVMRequest.createGuestMemfd.number == 0xC040_AED4)
        #expect(KVMRequest.run.number == 0xAE80)
        #expect(ckvm_request_set_memory_attributes == 0x4020_AED2)
        #expect(ckvm_request_set_memory_attributes2 == 0xC080_AED2)
        #expect(ckvm_request_pre_fault_memory == 0xC040_AED5)
    }

    @Test func structureSizes() {
        #expect(MemoryLayout<ckvm_userspace_memory_region2>.size == 160)
        #expect(MemoryLayout<ckvm_userspace_memory_region2>.offset(of: \.guest_memfd) == 40)
        #expect(MemoryLayout<ckvm_create_guest_memfd>.size == 64)
        #expect(MemoryLayout<ckvm_memory_attributes2>.offset(of: \.error_offset) == 32)
        #expect(MemoryLayout<ckvm_mailbox>.size == 128)
    }

    @Test func exitsWithTheirNumbers() throws {
        // A `struct kvm_run` as the kernel would leave it: reason at 8, the exit's own part from 32.
        let page = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 8)
        defer { unsafe page.deallocate() }
        unsafe page.initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
        func exit(_ reason: UInt32) throws -> ProcessorExit {
            unsafe page.storeBytes(of: reason, toByteOffset: 8, as: UInt32.self)
            let run = try #require(unsafe RunPage(page, length: 4096))
            return try ProcessorExit(run: run, errno: nil)
        }
        unsafe page.storeBytes(of: 0x1234, toByteOffset: 32, as: UInt64.self)
        unsafe page.storeBytes(of: 4, toByteOffset: 48, as: UInt32.self)
        unsafe page.storeBytes(of: 1, toByteOffset: 52, as: UInt8.self)
        #expect(try exit(6) == .mmio(.init(address: GuestPhysicalAddress(0x1234), length: 4, value: 0)))
        #expect(try exit(8) == .shutdown)
        #expect(try exit(10) == .interrupted)
        #expect(try exit(777) == .unknown(777))

        unsafe page.storeBytes(of: 8, toByteOffset: 32, as: UInt64.self)
        unsafe page.storeBytes(of: 0x7000, toByteOffset: 40, as: UInt64.self)
        unsafe page.storeBytes(of: 0x1000, toByteOffset: 48, as: UInt64.self)
        unsafe page.storeBytes(of: 39, toByteOffset: 8, as: UInt32.self)
        let run = try #require(unsafe RunPage(page, length: 4096))
        let fault = try ProcessorExit(run: run, errno: .badAddress)
        #expect(fault == .memoryFault(.init(address: GuestPhysicalAddress(0x7000), size: 0x1000, isPrivate: true)))
        #expect(throws: (any Error).self) { try ProcessorExit(run: run, errno: .invalidArgument) }
    }
}
