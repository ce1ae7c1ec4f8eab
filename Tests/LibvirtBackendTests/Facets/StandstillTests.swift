#if Libvirt
import Custody
import Foundation
import Glibc
import GuestChannel
import Testing

@testable import LibvirtBackend

/// Stopping the world, and looking at it.
@Suite(.serialized, .timeLimit(.minutes(60))) struct StandstillTests {
    @Test func theWorldStandsWhileAWindowIsOpen() throws {
        let guest = try FacetDomain("stop")
        let facet = StopTheWorld(guest.domain)
        do {
            let first = try facet.stop()
            #expect(try !guest.isRunning())
            let second = try facet.stop()
            try first.close()
            #expect(try !guest.isRunning(), "one is still open")
            // The second one is merely dropped.
            _ = consume second
        }
        #expect(try guest.isRunning())
        #expect(facet.resumeFailure == nil)
        let thrown = #expect(throws: BackendError.self) {
            try facet.whileStopped { () throws(BackendError) in throw BackendError(.system, "in the body") }
        }
        #expect(thrown?.message == "in the body")
        #expect(try guest.isRunning())

        // What somebody else has stopped is not resumed.
        try guest.domain.suspend()
        try facet.stop().close()
        #expect(try !guest.isRunning())
        try guest.domain.resume()
        #expect(try guest.isRunning())

        try guest.domain.destroy()
        #expect(throws: BackendError.self) { try facet.stop().close() }
    }

    /// A call that fails: the world goes on, or the facet says that it does not.
    @Test func whateverFailsTheWorldGoesOnOrIsSaidNotTo() throws {
        let guest = try FacetDomain("stopfail")
        let gate = FailingGate()
        let connection = try TestRoot.connect(gate)
        let facet = StopTheWorld(try guest.domain(by: connection))
        gate.fail(0)
        try facet.whileStopped { () throws(BackendError) in }
        let calls = gate.calls.count
        #expect(calls >= 4)
        var points = 0
        for place in 1...calls {
            for kind in FailingGate.Kind.allCases {
                gate.fail(place, kind)
                let error: BackendError?
                do throws(BackendError) {
                    try facet.whileStopped { () throws(BackendError) in }
                    error = nil
                } catch let caught { error = caught }
                gate.fail(0)
                points += 1
                if try guest.domain.isPaused() {
                    #expect(facet.resumeFailure != nil && error != nil, "\(place) \(kind)")
                    try facet.resumeAgain()
                }
                #expect(facet.resumeFailure == nil, "\(place) \(kind)")
                #expect(try guest.isRunning(), "\(place) \(kind)")
            }
        }
        #expect(points == calls * 2)
    }

    @Test func whatIsLookedAtIsMemory() throws {
        let guest = try FacetDomain("look")
        let inspection = Inspection(guest.domain)
        let facet = StopTheWorld(guest.domain)
        let dimm = XMLElement(
            "memory",
            ["model": "dimm"],
            [
                XMLElement(
                    "target",
                    [:],
                    [XMLElement("size", ["unit": "MiB"], text: "16"), XMLElement("node", text: "0")]
                ),
                XMLElement("alias", ["name": "ua-look"]),
                XMLElement("address", ["type": "dimm", "slot": "0", "base": "0x100000000"]),
            ]
        )
        try guest.domain.attach(dimm)
        #expect(
            try inspection.memory().map(\.description) == [
                "0x0-0x9ffff (640 KiB)", "0x100000-0xffffff (15 MiB)", "0x100000000-0x100ffffff (16 MiB)",
            ]
        )
        // The micro guest's page tables: the first entry refers to the table that follows.
        // It lays them out when it begins.
        let isLaidOut = LiveGuest.waits {
            let entry = try facet.whileStopped { () throws(BackendError) in
                try inspection.read(8, from: GuestPhysicalAddress(0x10000))
            }
            return entry[1] == 0x10 && entry[2] == 0x01 && entry[0] & 0x3 == 0x3
        }
        #expect(isLaidOut)
        #expect(try inspection.read(0, from: GuestPhysicalAddress(.max)).isEmpty)
        // More than one piece.
        let backing = ["path": "/objects/memua-look", "property": "mem-path"]
        let file = try guest.domain.ask("qom-get", backing, for: String.self)
        let pattern = Data((0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 / 4096 + 1) })
        let handle = try FileHandle(forUpdating: URL(filePath: file))
        try handle.write(contentsOf: pattern)
        try handle.close()
        #expect(try inspection.read(3 << 20, from: GuestPhysicalAddress(4 << 30)) == [UInt8](pattern))
        // Where QEMU would answer zeroes.
        for (address, count) in [
            (0x9_ffff, 2), (0xa_0000, 1), (0xf_fff0, 16), (16 << 20, 1), ((16 << 20) - 1, 2), (1 << 32, (16 << 20) + 1),
            (.max, 1), (.max, .max), (0, .max),
        ] as [(UInt64, UInt64)] {
            let error = #expect(throws: BackendError.self) {
                try inspection.read(count, from: GuestPhysicalAddress(address))
            }
            #expect(error?.code == .invalidArgument, "\(address) \(count)")
        }
        try guest.console().answerRemovals(by: .accept)
        try guest.domain.requestDetach(alias: "ua-look")
        #expect(LiveGuest.waits { try guest.description().memoryDevices("dimm").isEmpty })
        #expect(throws: BackendError.self) { try inspection.read(1, from: GuestPhysicalAddress(4 << 30)) }
    }
}

#endif
