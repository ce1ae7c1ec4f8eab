import Custody
import CustodyTrace
import FoundationEssentials
import Testing

/// A line is what it was written from, whatever stands in it, and the schema knows every kind of line.
@Suite struct FormatTests {
    private static let samples: [String] = [
        #"{"malformed":{"error":"empty","request":{"address":18446744073709551615,"byteCount":0,"processor":3,"target":"host"}},"n":1,"seq":2,"t":0,"thread":1}"#,
        #"{"n":18446744073709551615,"seq":18446744073709551615,"postponed":{"blockers":[{"holder":{"device":"a","process":-1,"purpose":"p","queue":"q"},"kind":"access","range":{"count":1,"page":0},"since":9}],"ticket":{"deadline":8,"id":7,"range":{"count":1,"page":0},"since":6,"target":"shared"},"until":5},"t":18446744073709551615,"thread":0}"#,
        #"{"advanced":{"blockers":[],"ticket":{"id":7,"range":{"count":1,"page":0},"since":6,"target":"host"}},"n":1,"seq":2,"t":0,"thread":1}"#,
        #"{"n":1,"seq":2,"settled":{"result":{"failed":{"error":{"cause":"EIO","code":"system","message":"m","range":{"count":1,"page":4503599627370495}}}},"ticket":{"id":7,"range":{"count":1,"page":0},"since":6,"target":"private"}},"t":0,"thread":1}"#,
        #"{"n":1,"seq":2,"settled":{"result":{"vetoed":{"by":"iommu","reason":"r"}},"ticket":{"id":7,"range":{"count":1,"page":0},"since":6,"target":"private"}},"t":0,"thread":1}"#,
        #"{"n":1,"seq":2,"t":0,"thread":1,"vetoed":{"isTransient":true,"listener":"ünïcode \"\\ \u0000\n","reason":"🦔"}}"#,
        #"{"dismissed":{"isTransient":false,"listener":"l","reason":"r"},"n":1,"seq":2,"t":0,"thread":1}"#,
        #"{"n":1,"seq":2,"reconnected":{"found":{"completed":[1],"failed":[2],"ownership":[{"after":"host","before":"in-transit","range":{"count":1,"page":0}}]}},"t":0,"thread":1}"#,
        #"{"lost":{"error":{"code":"lost","message":"m"}},"n":1,"seq":2,"t":0,"thread":1}"#,
        #"{"dropped":{"count":18446744073709551615},"n":1,"t":0,"thread":0}"#,
        #"{"decided":{"decision":{"deadline":1,"range":{"count":1,"page":0},"reason":{"rule":"r","text":"t"},"retry":{"attempts":9223372036854775807,"first":1,"longest":2},"returnsAfter":3,"until":4,"verdict":"clamp"},"request":{"contents":"zeroed","deadline":5,"prefix":{"pages":18446744073709551615,"runs":1},"range":{"count":1,"page":0},"requester":{"device":"d"},"target":"private","whenHeld":"report"}},"n":1,"seq":2,"t":0,"thread":1}"#,
    ]

    @Test(arguments: samples) func aLineIsWhatItWasWrittenFrom(line: String) throws {
        let record = try JSONDecoder().decode(TraceRecord.self, from: Data(line.utf8))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let again = try encoder.encode(record)
        #expect(try JSONDecoder().decode(TraceRecord.self, from: again) == record)
        #expect(TraceEvent.names.contains(record.event.name))
        #expect(String(decoding: again, as: UTF8.self).contains("\"\(record.event.name)\":{"))
    }

    /// What the controller did has the number of its step; a note of the writer has none.
    @Test(arguments: [
        #"{"n":1,"t":0,"thread":1,"marked":{"name":"a"}}"#, #"{"n":1,"seq":1,"t":0,"thread":0,"dropped":{"count":1}}"#,
    ])
    func aLineWithoutItsStepIsNone(line: String) {
        let error = #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(TraceRecord.self, from: Data(line.utf8))
        }
        #expect("\(error.map { "\($0)" } ?? "")".contains("every event has the number of its step"))
    }

    @Test func theSchemaKnowsEveryEvent() throws {
        struct Schema: Decodable {
            struct Object: Decodable { let properties: [String: Anything]? }
            struct Anything: Decodable { init(from decoder: any Decoder) {} }
            let definitions: [String: Object]
            enum CodingKeys: String, CodingKey { case definitions = "$defs" }
        }
        var path = #filePath
        for _ in 0..<3 { path = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) }
        let bytes = try #require(FileManager.default.contents(atPath: path + "/docs/schema/trace.schema.json"))
        let schema = try JSONDecoder().decode(Schema.self, from: bytes)
        let record = try #require(schema.definitions["record"]?.properties)
        #expect(Set(record.keys) == Set(TraceEvent.names + ["n", "seq", "t", "thread"]))
    }
}
