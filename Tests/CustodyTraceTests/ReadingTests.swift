import Custody
import CustodyTrace
import Testing

/// Whatever stands in a file, it is a message with its place, and never a trap.
@Suite struct ReadingTests: ~Copyable {
    let fixture: TraceFixture

    init() throws { fixture = try TraceFixture() }

    @Test func aLineThatIsNoneNamesItsPlace() throws {
        try fixture.record()
        let lines = try fixture.lines()
        let wrong: [(String, String)] = [
            ("", "no line of a trace"), ("null", "no line"), ("[]", "no line"), ("{}", "‘n’ is missing"),
            (String(repeating: "[", count: 100_000), "no line"),
            (#"{"n":2,"t":0,"thread":1}"#, "one event, and this has none"),
            (#"{"n":2,"t":0,"thread":1,"exploded":{}}"#, "unknown key ‘exploded’"),
            (#"{"n":2,"t":0,"thread":1,"marked":{"name":"a"},"lost":{}}"#, "this has ‘marked’ and ‘lost’"),
            (#"{"n":-2,"t":0,"thread":1,"marked":{"name":"a"}}"#, "no line"),
            (#"{"n":2,"t":1e400,"thread":1,"marked":{"name":"a"}}"#, "no line"),
            (
                #"{"n":2,"t":0,"thread":1,"discarded":{"range":{"page":18446744073709551615,"count":2}}}"#,
                "end of the address"
            ),
            (#"{"n":2,"t":0,"thread":1,"discarded":{"range":{"page":5,"count":0}}}"#, "empty"),
            (lines[0].replacing("\"custodyTrace\":1", with: "\"custodyTrace\":2"), "version 2"),
            (lines[0].replacing("\"count\":16", with: "\"count\":15", maxReplacements: 1), "not that of all RAM"),
        ]
        for (text, message) in wrong {
            try fixture.write([lines[0], text] + lines[1...], as: "wrong")
            var reader = try TraceReader(fixture.path("wrong"))
            _ = try reader.next()
            let error = try #require(throws: TraceError.self) { try reader.next() }
            let column = try #require(error.column)
            #expect(error.description.hasPrefix("\(fixture.path("wrong")):2:\(column): error: "))
            #expect(error.message.contains(message), "\(text.prefix(100)): \(error)")
            // And what follows can be read.
            #expect(try reader.next() != nil)
            #expect(try TraceFixture.verify(fixture.path("wrong")).error == error)
        }
    }

    /// What no writer writes is not passed over: it may be what somebody meant to say.
    @Test(arguments: [
        (
            #"{"n":1,"seq":1,"t":0,"thread":1,"marcked":{"name":"a"}}"#, 33,
            "unknown key ‘marcked’; did you mean ‘marked’?"
        ),
        (#"{"n":1,"seq":1,"t":0,"thrad":1,"marked":{"name":"a"}}"#, 22, "unknown key ‘thrad’; did you mean ‘thread’?"),
        (#"{"n":1,"seq":1,"t":0,"thread":1,"marked":{"name":"a"},"why":1}"#, 55, "unknown key ‘why’"),
        (
            #"{"n":1,"seq":1,"t":0,"thread":1,"marked":{"name":"a","nme":"b"}}"#, 54,
            "unknown key ‘nme’; did you mean ‘name’? in ‘marked’"
        ),
        (#"{"n":1,"seq":1,"t":0,"thread":1,"t":1,"marked":{"name":"a"}}"#, 33, "the key ‘t’ stands twice"),
        (#"{"n":1,"seq":1,"t":0,"thread":1,"marked":{"name":"a"},"marked":{"name":"a"}}"#, 55, "stands twice"),
        (
            #"{"n":1,"seq":1,"t":0,"thread":1,"marked":{"name":"a","name":"b"}}"#, 54,
            "the key ‘name’ stands twice in ‘marked’"
        ),
        (
            #"{"n":1,"seq":1,"t":0,"thread":1,"discarded":{"range":{"page":1,"count":1,"page":2}}}"#, 74,
            "the key ‘page’ stands twice in ‘discarded.range’"
        ),
        (
            #"{"n":1,"seq":1,"t":0,"thread":1,"settled":{"result":{"expired":{"at":1}},"ticket":"#
                + #"{"id":1,"range":{"count":1,"page":1},"since":0,"target":"shared"}}}"#, 65,
            "unknown key ‘at’ in ‘settled.result.expired’"
        ),
        (
            #"{"n":1,"seq":1,"t":0,"thread":1,"settled":{"result":{"expird":{}},"ticket":"#
                + #"{"id":1,"range":{"count":1,"page":1},"since":0,"target":"shared"}}}"#, 54,
            "unknown key ‘expird’; did you mean ‘expired’?"
        ),
    ])
    func aKeyTooManyIsAnError(text: String, column: Int, message: String) throws {
        try fixture.record()
        try fixture.write([fixture.lines()[0], text])
        var reader = try TraceReader(fixture.path())
        _ = try reader.next()
        let error = try #require(throws: TraceError.self) { try reader.next() }
        #expect(error.line == 2 && error.column == column && error.message.contains(message), "\(error)")
    }

    @Test(arguments: ["backend", "layout", "capabilities", "started"]) func aMisspeltHeaderIsNone(key: String) throws {
        try fixture.record()
        let header = try fixture.lines()[0]
        let misspelt = header.replacing("\"\(key)\":", with: "\"\(key)s\":", maxReplacements: 1)
        try fixture.write([misspelt])
        let place = try #require(misspelt.firstRange(of: "\"\(key)s\"")).lowerBound
        var reader = try TraceReader(fixture.path())
        let error = try #require(throws: TraceError.self) { try reader.next() }
        #expect(error.message.contains("unknown key ‘\(key)s’; did you mean ‘\(key)’?"), "\(error)")
        #expect(error.column == misspelt.distance(from: misspelt.startIndex, to: place) + 1)
    }

    @Test func aLineWithoutAnEndIsNotKept() throws {
        try fixture.record()
        let lines = try fixture.lines()
        let long = String(repeating: " ", count: TraceReader.maximumLineLength + 100_000)
        try fixture.write([lines[0], long] + lines[1...])
        var reader = try TraceReader(fixture.path())
        _ = try reader.next()
        let error = try #require(throws: TraceError.self) { try reader.next() }
        #expect(error.line == 2 && error.message.contains("longer than"))
        guard case .record(let record)? = try reader.next() else {
            Issue.record("the line after it is not read")
            return
        }
        #expect(record.number == 1 && reader.line == 3)
    }

    @Test func aFileThatIsNotThereIsAnError() throws {
        let path = fixture.path("nothing")
        let error = #expect(throws: TraceError.self) { _ = try TraceReader(path) }
        #expect(error?.description.contains("No such file") == true)
    }

    @Test func anEmptyFileIsNoTrace() throws {
        try fixture.write([])
        #expect(try TraceFixture.verify(fixture.path()).error?.message == "there is no trace in the file")
    }

    /// Bytes changed by chance: an error or not, but nothing else.
    @Test func randomDamageNeverTraps() throws {
        try fixture.record()
        let bytes = try fixture.bytes()
        var random = SystemRandomNumberGenerator()
        for _ in 0..<300 {
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let index = Int.random(in: damaged.indices, using: &random)
                damaged[index] =
                    Bool.random(using: &random) ? UInt8.random(in: .min ... .max, using: &random) : UInt8(ascii: "9")
            }
            try fixture.write(damaged, as: "damaged")
            _ = try TraceFixture.verify(fixture.path("damaged"))
        }
    }
}
