import CustodyOptions
import Testing

/// JSON from anybody: what it says is read, and all of it.
@Suite struct JSONTextTests {
    private struct Value: Decodable, Equatable {
        var count: UInt8?
        var name: String?
        var ratio: Double?
        var isOn: Bool?
        var list: [Int]?
        var table: [String: Int]?
        var span: Duration?
        var inner: [Value]?
    }

    private func read(_ text: String) throws(JSONError) -> Value {
        try JSONText.decode(Value.self, from: Array(text.utf8))
    }

    private func error(_ text: String) -> String? {
        do throws(JSONError) { _ = try read(text) } catch { return "\(error.line):\(error.column) \(error.message)" }
        return nil
    }

    @Test func everythingIsRead() throws {
        #expect(try read(" {} ") == Value())
        #expect(try read("\u{FEFF}{}") == Value(), "a byte-order mark")
        #expect(try read(#"{"count":255,"name":null}"#) == Value(count: 255))
        #expect(try read(#"{"ratio":-0.5e+1,"isOn":true}"#) == Value(ratio: -5, isOn: true))
        #expect(
            try read(#"{"list":[ 1 , -2 ],"table":{"a":1,"":2}}"#) == Value(list: [1, -2], table: ["a": 1, "": 2])
        )
        #expect(try read(#"{"span":[0,5000000000000000000]}"#) == Value(span: .seconds(5)))
        let text = #"\"\\\/\b\f\n\r\tä\u00e4\ud83d\ude00\u0000"#
        #expect(try read(#"{"name":"\#(text)"}"#).name == "\"\\/\u{8}\u{C}\n\r\tää😀\0")
        #expect(try read(#"{"na\u006de":"x"}"#).name == "x")
        #expect(try read(#"{"inner":[{},{"inner":[]}]}"#) == Value(inner: [Value(), Value(inner: [])]))
    }

    @Test(arguments: [
        ("", "1:1 this is not JSON: expected a value, not the end of the text"),
        ("{", "1:2 this is not JSON: expected a key in quotes, not the end of the text"),
        (#"{"name" 1}"#, "1:9 this is not JSON: expected ‘:’, not ‘1’"),
        (#"{"name":"ä" "b""#, "1:13 this is not JSON: expected ‘,’ or ‘}’, not ‘\"’"),
        ("{}\n{}", "2:1 this is not JSON: expected the end of the text, not ‘{’"),
        (#"{"name":"a"#, "1:11 this is not JSON: expected the end of the text in quotes, not the end of the text"),
        (#"{"name":"\x"}"#, "1:10 this is not JSON: no character is escaped so"),
        (#"{"name":"\ud83d"}"#, "1:10 this is not JSON: no character is escaped so"),
        (#"{"name":"\ud83d\u0041"}"#, "1:10 this is not JSON: no character is escaped so"),
        (#"{"name":"\u00e"}"#, "1:10 this is not JSON: no character is escaped so"),
        ("{\"name\":\"a\nb\"}", "1:11 this is not JSON: a control character in a text"),
        ("{\"name\":\n nil}", "2:2 this is not JSON: expected a value, not ‘n’"),
        (#"{"count":01}"#, "1:10 this is not JSON: expected a value, not ‘0’"),
        (#"{"count":1.}"#, "1:10 this is not JSON: expected a value, not ‘1’"),
        (#"{"count":+1}"#, "1:10 this is not JSON: expected a value, not ‘+’"),
        (#"{"count":1e}"#, "1:10 this is not JSON: expected a value, not ‘1’"),
        (#"{"count":256}"#, "1:10 expected a whole number from 0 to 255, not ‘256’ in ‘count’"),
        (#"{"count":1.0}"#, "1:10 expected a whole number from 0 to 255, not ‘1.0’ in ‘count’"),
        (#"{"count":1e2}"#, "1:10 expected a whole number from 0 to 255, not ‘1e2’ in ‘count’"),
        (
            #"{"list":[922337203685477580.7]}"#,
            "1:10 expected a whole number from \(Int.min) to \(Int.max), not ‘922337203685477580.7’ in ‘list[0]’"
        ),
        (#"{"count":1.5}"#, "1:10 expected a whole number from 0 to 255, not ‘1.5’ in ‘count’"),
        (#"{"count":"1"}"#, "1:10 expected a whole number from 0 to 255, not the text ‘1’ in ‘count’"),
        (#"{"name":[]}"#, "1:9 expected a text, not a list in ‘name’"),
        (#"{"isOn":0}"#, "1:9 expected ‘true’ or ‘false’, not ‘0’ in ‘isOn’"),
        (#"{"ratio":1e999}"#, "1:10 expected a number, not ‘1e999’ in ‘ratio’"),
        (#"{"list":{}}"#, "1:9 expected a list, not an object in ‘list’"),
        (#"{"table":[]}"#, "1:10 expected an object, not a list in ‘table’"),
        (
            #"{"inner":[{},{"list":[1,"x"]}]}"#,
            "1:25 expected a whole number from \(Int.min) to \(Int.max), not the text ‘x’ in ‘inner[1].list[1]’"
        ),
        (#"{"span":[0]}"#, "1:9 an item is missing here in ‘span’"),
        (#"{"span":[0,1,2]}"#, "1:14 this item is one too many in ‘span[2]’"),
        (#"{"count":1,"coutn":2}"#, "1:12 unknown key ‘coutn’; did you mean ‘count’?"),
        (#"{"inner":[{"nome":2}]}"#, "1:12 unknown key ‘nome’; did you mean ‘name’? in ‘inner[0]’"),
        (#"{"zzzzzzzzz":1,"nome":1}"#, "1:16 unknown key ‘nome’; did you mean ‘name’?"),
        (#"{"zzzzzzzzz":1}"#, "1:2 unknown key ‘zzzzzzzzz’"),
        (#"{"count":1,"count":1}"#, "1:12 the key ‘count’ stands twice"),
        (#"{"table":{"a":1,"\u0061":1}}"#, "1:17 the key ‘a’ stands twice in ‘table’"),
        ("[]", "1:1 expected an object, not a list"),
    ])
    func whatIsWrongHasItsPlace(text: String, message: String) { #expect(error(text) == message) }

    @Test func bytesThatAreNoTextAreAnError() {
        let wrong = #expect(throws: JSONError.self) {
            try JSONText.decode(Value.self, from: Array(#"{"name":"ä"#.utf8) + [0xFF] + Array(#""}"#.utf8))
        }
        #expect(wrong?.column == 11 && wrong?.message == "the text is not UTF-8 here")
    }

    @Test func nestingIsBounded() {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(error(nested(64)) == "1:1 expected an object, not a list")
        for depth in [65, 70, 100_000] { #expect(error(nested(depth)) == "1:65 values are nested more than 64 deep") }
    }
}
