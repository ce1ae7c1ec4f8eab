import Custody
import CustodyPolicy
import CustodyTrace
import FoundationEssentials
import SimulationBackend
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// What has been observed is what is read.
@Suite struct WritingTests: ~Copyable {
    let fixture: TraceFixture

    init() throws { fixture = try TraceFixture() }

    @Test func whatIsReadIsWhatWasObserved() throws {
        let events = try fixture.record()
        let records = try TraceFixture.records(fixture.path())
        #expect(records.dropLast().map(\.event) == events.map { TraceEvent($0.kind) })
        #expect(records.dropLast().map(\.time) == events.map(\.time))
        #expect(records.map(\.number) == Array(1...UInt64(records.count)))
        #expect(Set(records.dropLast().map(\.thread)) == [1])
        let names = Set(records.map(\.event.name))
        #expect(
            names.isSuperset(of: ["malformed", "decided", "failed", "settled", "leaseRefused", "discarded", "closed"])
        )
        #expect(try TraceFixture.verify(fixture.path()).error == nil)
    }

    @Test func theHeaderSaysWhatTheTraceIsOf() throws {
        try fixture.record()
        guard case .header(let header) = try #require(try TraceFixture.read(fixture.path()).lines.first) else {
            Issue.record("the first line is no header")
            return
        }
        let backend = try TraceFixture.backend()
        #expect(header.backend == "simulation" && header.version == 1)
        #expect(header.layout == backend.layout && header.capabilities == backend.capabilities)
        #expect(header.ownership == [PageRun(range: backend.layout.bounds, state: .shared)])
        #expect(header.configuration == "{\"policy\": {}}" && header.repairedBytes == nil)
    }

    @Test func aTornTailIsFoundAtEveryByteAndRepaired() throws {
        try fixture.record()
        let bytes = try fixture.bytes()
        let whole = bytes.indices.filter { bytes[$0] == UInt8(ascii: "\n") }.map { $0 + 1 }
        // The two last lines byte by byte, and what lies before them in steps.
        let last = whole[whole.count - 3]
        let cuts = Array(last...bytes.count) + Array(stride(from: 1, to: last, by: 211))
        for cut in cuts {
            try fixture.write(bytes[..<cut], as: "cut")
            let lines = whole.count { $0 <= cut }
            let torn = cut - (whole.last { $0 <= cut } ?? 0)
            let (read, message) = try TraceFixture.read(fixture.path("cut"))
            #expect(read.count == lines)
            #expect((message?.line == lines + 1) == (torn > 0), "cut at \(cut)")
            try fixture.record("cut")
            let repaired = try TraceFixture.read(fixture.path("cut"))
            #expect(repaired.torn == nil)
            #expect(repaired.lines.prefix(lines) == read[...])
            guard case .header(let header) = repaired.lines[lines] else {
                Issue.record("cut at \(cut): the new trace does not begin where the whole lines end")
                return
            }
            #expect(header.repairedBytes == (torn > 0 ? torn : nil))
        }
    }

    @Test func aFileThatIsNoTraceIsLeftAlone() throws {
        for text in ["{}", "backend: kvm\n", "{\"other\": 1}\n{\"torn"] {
            try fixture.write(text.utf8)
            #expect(throws: TraceError.self) { try fixture.record() }
            #expect(String(decoding: try fixture.bytes(), as: UTF8.self) == text)
        }
    }

    @Test func aTraceHasOneWriter() throws {
        let backend = try TraceFixture.backend()
        let header = TraceHeader(of: backend, named: "simulation")
        let writer = try TraceWriter(appendingTo: fixture.path(), header: header)
        #expect(throws: TraceError("another writer has this trace", file: fixture.path())) {
            try TraceWriter(appendingTo: fixture.path(), header: header)
        }
        try writer.close(ownership: header.ownership)
        let next = try TraceWriter(appendingTo: fixture.path(), header: header)
        try next.close(ownership: header.ownership)
        #expect(try TraceFixture.verify(fixture.path()).traces == 2)
    }

    @Test(arguments: [TraceWriterOptions.WhenFull.wait, .drop])
    func whatIsMissingIsSaid(whenFull: TraceWriterOptions.WhenFull) throws {
        let backend = try TraceFixture.backend()
        let writer = try TraceWriter(
            appendingTo: fixture.path(),
            header: TraceHeader(of: backend, named: "simulation"),
            options: TraceWriterOptions(capacity: 4, whenFull: whenFull)
        )
        let count: UInt64 = 5000
        for number in 0..<count {
            writer.observe(
                ControllerEvent(sequence: number, time: Timestamp(rawValue: number), kind: .marked("\(number)"))
            )
        }
        try writer.close(ownership: [])
        var next: UInt64 = 0
        var dropped: UInt64 = 0
        for record in try TraceFixture.records(fixture.path()) {
            switch record.event {
            case .marked(let name):
                #expect(name == "\(next)")
                next += 1
            case .dropped(let missing):
                next += missing
                dropped += missing
            default: #expect(record.event == .closed(ownership: []))
            }
        }
        #expect(next == count)
        #expect(writer.status.dropped == dropped)
        #expect(whenFull == .drop || dropped == 0)
        // What comes after the end is counted too.
        writer.observe(ControllerEvent(sequence: 0, time: .zero, kind: .marked("late")))
        #expect(writer.status.dropped == dropped + 1)
    }

    @Test func aTraceIsCutBySizeAndReadAsOne() throws {
        let rotation = TraceWriterOptions.Rotation(at: 4096, keeping: 100)
        let events = try fixture.record(options: TraceWriterOptions(capacity: 3, rotation: rotation))
        #expect(FileManager.default.fileExists(atPath: fixture.path("trace.jsonl.2")))
        let records = try TraceFixture.records(fixture.path())
        #expect(records.dropLast().map(\.event) == events.map { TraceEvent($0.kind) })
        #expect(try TraceFixture.verify(fixture.path()).error == nil)
        // Where the oldest file has been given up, the beginning is missing, and that is said.
        let oldest = try #require(
            (1...100).last { FileManager.default.fileExists(atPath: fixture.path("trace.jsonl.\($0)")) }
        )
        try FileManager.default.removeItem(atPath: fixture.path("trace.jsonl.\(oldest)"))
        #expect(try TraceFixture.verify(fixture.path()).error?.message.contains("beginning") == true)
    }
}

/// A file that takes no more, in a process of its own: the limit is the process's.
@Suite struct FullFileTests {
    @Test func whatTheFileDoesNotTakeIsSaid() async {
        await #expect(processExitsWith: .success) {
            let fixture = try TraceFixture()
            let backend = try TraceFixture.backend()
            let writer = try TraceWriter(
                appendingTo: fixture.path(),
                header: TraceHeader(of: backend, named: "simulation")
            )
            func mark(_ numbers: Range<UInt64>) throws {
                for number in numbers {
                    writer.observe(
                        ControllerEvent(sequence: number, time: Timestamp(rawValue: number), kind: .marked("\(number)"))
                    )
                }
            }
            try mark(0..<10)
            try writer.flush()
            // From now on a write beyond 8 KiB fails with EFBIG.
            _ = signal(SIGXFSZ, SIG_IGN)
            var limit = rlimit()
            unsafe getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            let before = limit
            limit.rlim_cur = 8192
            unsafe setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            try mark(10..<1000)
            #expect(throws: TraceError.self) { try writer.flush() }
            limit = before
            unsafe setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            try mark(1000..<1010)
            #expect(throws: TraceError.self) { try writer.close(ownership: []) }
            var next: UInt64 = 0
            var dropped: UInt64 = 0
            for record in try TraceFixture.records(fixture.path()) {
                switch record.event {
                case .marked(let name):
                    #expect(name == "\(next)")
                    next += 1
                case .dropped(let count):
                    next += count
                    dropped += count
                default: break
                }
            }
            #expect(next == 1010)
            #expect(dropped > 0 && writer.status.dropped == dropped)
        }
    }
}
