#if Libvirt
import Custody
import Foundation
import Glibc
import GuestChannel
import Testing

@testable import LibvirtBackend

/// Every call that a facet makes, into libvirt and the kernel, fails once: what is shown afterwards is the truth, seen by
/// a connection on which nothing fails, and nothing is left over.
@Suite(.serialized, .timeLimit(.minutes(60))) struct FacetSweepTests {
    /// Runs `body` once to count its calls, and then once for each call and way to fail.
    ///
    /// One that returns something to give back is only not made: see ``FailingGate``.
    @discardableResult
    private func sweep(
        _ gate: FailingGate,
        _ body: () throws(BackendError) -> Void,
        after: (_ point: String, _ error: BackendError?) throws -> Void
    ) throws -> Int {
        gate.fail(0)
        try body()
        let calls = gate.calls
        gate.fail(0)
        try after("none", nil)
        var failed = 0
        for (index, call) in calls.enumerated() {
            for kind in FailingGate.Kind.allCases {
                gate.fail(index + 1, kind)
                var error: BackendError?
                do throws(BackendError) { try body() } catch let caught { error = caught }
                if gate.failed != nil { failed += 1 }
                gate.fail(0)
                try after("\(index + 1): \(call), \(kind)", error)
            }
        }
        // A wait looks as often as it takes: what comes after it may be fewer calls away the next time.
        #expect(failed >= calls.count / 2)
        return failed
    }

    private func remove(_ window: SharedWindow) throws {
        try window.requestReturn()
        let ending = try window.waitForReturn(within: LiveGuest.patience)
        #expect(ending == .completed)
        try window.remove()
    }

    @Test func aWindowIsThereOrItIsNot() throws {
        let guest = try FacetDomain("sweepmake")
        try guest.console().answerRemovals(by: .accept)
        let gate = FailingGate()
        let connection = try TestRoot.connect(gate)
        let domain = try guest.domain(by: connection)
        let name = FacetDomain.windowName("sweep")
        for isSealable in [false, true] {
            var windows: [SharedWindow] = []
            let points = try sweep(gate) { () throws(BackendError) in
                let window = try SharedWindow.make(
                    name,
                    byteCount: 1 << 20,
                    isSealable: isSealable,
                    for: domain,
                    on: connection
                )
                windows.append(window)
            } after: { point, error in
                let isAttached = try guest.description().windows.contains { $0["name"] == name }
                let hasFile = FacetDomain.hasFile(name)
                switch error?.code {
                case nil: #expect(isAttached && hasFile && windows.count == 1, "\(point)")
                // Nobody knows; what the guest has can be found, unless it had its name from its owner.
                case BackendError.Code.lost: #expect(hasFile == !isSealable, "\(point)")
                default: #expect(!isAttached && !hasFile, "\(point): \(error.map { "\($0)" } ?? "")")
                }
                if isAttached, hasFile {
                    let found = try windows.first ?? SharedWindow.find(name, in: guest.domain, on: guest.connection)
                    try remove(found)
                } else if isAttached {
                    try guest.domain.requestDetach(alias: "ua-window-\(name)")
                    #expect(LiveGuest.waits { try guest.description().windows.isEmpty }, "\(point)")
                }
                windows = []
                if hasFile, !isAttached { unsafe unlink("/dev/shm/" + name) }
            }
            #expect(points >= 5)
        }
        #expect(!FacetDomain.hasFile(name))
    }

    @Test func aWindowsPlaceIsTheTruth() throws {
        let guest = try FacetDomain("sweepround")
        try guest.console().answerRemovals(by: .accept)
        let gate = FailingGate()
        let connection = try TestRoot.connect(gate)
        let domain = try guest.domain(by: connection)
        let name = FacetDomain.windowName("sweepround")
        gate.fail(0)
        let window = try SharedWindow.make(name, byteCount: 1 << 20, for: domain, on: connection)
        func bringBack() throws {
            try window.requestReturn()
            #expect(try window.waitForReturn(within: LiveGuest.patience) == .completed)
        }
        try bringBack()
        let points = try sweep(gate) { () throws(BackendError) in
            try window.share()
            try window.write([1], at: 0)
            try window.requestReturn()
            _ = try window.waitForReturn(within: LiveGuest.patience)
        } after: { point, error in
            let isAttached = try guest.description().windows.contains { $0["name"] == name }
            let place = try window.place()
            // A guest that has been asked may let it go between the two looks.
            #expect(isAttached || place != .shared, "\(point)")
            if place == .shared { try bringBack() }
            #expect(LiveGuest.waits { try window.place() != .inTransit }, "\(point)")
            #expect(try window.place() == .host, "\(point)")
        }
        #expect(points >= 10)
        try window.remove()
        #expect(!FacetDomain.hasFile(name))
    }

    @Test func whatAPoolWasAskedForIsTheTruth() throws {
        let guest = try FacetDomain("sweeppool") { configuration in
            configuration.pools = [try .test()]
            configuration.hasBalloon = true
        }
        let gate = FailingGate()
        let connection = try TestRoot.connect(gate)
        let domain = try guest.domain(by: connection)
        gate.fail(0)
        let facets = try DomainFacets(of: domain, on: connection)
        let pool = try #require(facets.pools.first)
        let truth = try #require(try DomainFacets(of: guest.domain, on: guest.connection).pools.first)

        var amount: UInt64 = 0
        var before: UInt64 = 0
        var returned: ElasticPoolState?
        try sweep(gate) { () throws(BackendError) in
            returned = nil
            amount = amount == 32 << 20 ? 16 << 20 : 32 << 20
            before = try truth.state().requested
            returned = try pool.request(amount)
        } after: { point, error in
            let requested = try truth.state().requested
            if let returned { #expect(returned.requested == requested && requested == amount, "\(point)") }
            if let error, error.code != .lost { #expect(requested == before, "\(point)") }
            #expect((error == nil) == (returned != nil), "\(point)")
            #expect(try pool.state().requested == requested, "\(point)")
        }
        try sweep(gate) { () throws(BackendError) in
            try truth.request(32 << 20)
            try pool.withdraw()
        } after: { point, error in
            let requested = try truth.state().requested
            switch error?.code {
            case nil: #expect(requested == 0, "\(point)")
            case BackendError.Code.lost: #expect(requested == 0 || requested == 32 << 20, "\(point)")
            default: #expect(requested == 32 << 20, "\(point)")
            }
        }
        try sweep(gate) { () throws(BackendError) in
            _ = try pool.allocatedBytes()
        } after: { _, _ in
        }

        let balloon = try #require(facets.balloon)
        try sweep(gate) { () throws(BackendError) in
            try balloon.ask(8 << 20)
            _ = try balloon.state()
        } after: { point, error in
            let asked = try balloon.state().asked
            #expect(asked == 8 << 20 || (error != nil && asked == nil), "\(point)")
        }
    }

    @Test func aLookIsWholeOrAnError() throws {
        let guest = try FacetDomain("sweeplook")
        let gate = FailingGate()
        let connection = try TestRoot.connect(gate)
        let domain = try guest.domain(by: connection)
        gate.fail(0)
        var bytes: [UInt8]?
        try sweep(gate) { () throws(BackendError) in
            bytes = nil
            let facets = try DomainFacets(of: domain, on: connection)
            bytes = try facets.inspection?.read(3, from: GuestPhysicalAddress(0x10000))
        } after: { point, error in
            #expect((error == nil) == (bytes?.count == 3), "\(point)")
            let isRunning = try guest.isRunning()
            #expect(isRunning, "\(point)")
        }
        try sweep(gate) { () throws(BackendError) in
            _ = try DomainSupport(of: connection)
        } after: { _, _ in
        }
    }
}

#endif
