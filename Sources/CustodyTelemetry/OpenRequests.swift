import CustodyPolicy

/// What is known of requests that have no answer yet. Requests that are the same are interchangeable, so none of them
/// needs a number.
struct OpenRequests<Value: Sendable>: Sendable {
    private var values: [ConversionRequest: [Value]] = [:]

    mutating func begin(_ request: ConversionRequest, _ value: Value) { values[request, default: []].append(value) }

    mutating func end(_ request: ConversionRequest) -> Value? {
        let value = values[request]?.popLast()
        if values[request]?.isEmpty ?? false { values[request] = nil }
        return value
    }

    subscript(request: ConversionRequest) -> Value? { values[request]?.last }
}
