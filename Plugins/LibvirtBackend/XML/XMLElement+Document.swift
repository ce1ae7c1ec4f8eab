#if Libvirt
import CLibXML2

// Reading and writing by libxml2: libvirt reads its descriptions with the same library, so what is written here and what
// is read there cannot be two things.

extension XMLElement {
    /// Reads a document.
    ///
    /// Nothing is fetched and no entity is expanded: a description has none but those of XML itself.
    ///
    /// - Throws: ``XMLError``.
    package init(parsing document: String) throws(XMLError) {
        XMLElement.prepareLibrary()
        var document = document
        let tree = document.withUTF8 { bytes in
            unsafe bytes.withMemoryRebound(to: CChar.self) { characters in
                unsafe xmlReadMemory(characters.baseAddress, Int32(clamping: characters.count), nil, "UTF-8", flags)
            }
        }
        guard let tree = unsafe tree else { throw XMLError(last: ()) }
        defer { unsafe xmlFreeDoc(tree) }
        guard let root = unsafe xmlDocGetRootElement(tree) else { throw XMLError("the document is empty") }
        self = try unsafe XMLElement(root)
    }

    /// The element as text, with every value escaped.
    package var text: String {
        XMLElement.prepareLibrary()
        guard let tree = unsafe xmlNewDoc("1.0") else { return "" }
        defer { unsafe xmlFreeDoc(tree) }
        guard let root = unsafe node(in: tree) else { return "" }
        unsafe xmlDocSetRootElement(tree, root)
        var bytes: UnsafeMutablePointer<xmlChar>?
        var count: Int32 = 0
        unsafe xmlDocDumpMemoryEnc(tree, &bytes, &count, "UTF-8")
        guard let bytes = unsafe bytes else { return "" }
        defer { unsafe cxml_free(bytes) }
        return unsafe String(decoding: UnsafeBufferPointer(start: bytes, count: Int(count)), as: UTF8.self)
    }

    /// The same in one line, for a message.
    package var line: String {
        text.split(separator: "\n").dropFirst().map { $0.trimmingPrefix(while: \.isWhitespace) }.joined()
    }

    private init(_ node: xmlNodePtr) throws(XMLError) {
        self.init(unsafe XMLElement.name(node.pointee.name, node.pointee.ns))
        var space = unsafe node.pointee.nsDef
        while let definition = unsafe space {
            let prefix = unsafe definition.pointee.prefix.map { unsafe ":" + String(cString: $0) } ?? ""
            self["xmlns" + prefix] = unsafe definition.pointee.href.map { unsafe String(cString: $0) } ?? ""
            unsafe space = definition.pointee.next
        }
        var property = unsafe node.pointee.properties
        while let attribute = unsafe property {
            let value = unsafe xmlNodeListGetString(node.pointee.doc, attribute.pointee.children, 1)
            defer { unsafe cxml_free(value) }
            self[unsafe XMLElement.name(attribute.pointee.name, attribute.pointee.ns)] =
                unsafe value.map { unsafe String(cString: $0) } ?? ""
            unsafe property = attribute.pointee.next
        }
        var child = unsafe node.pointee.children
        while let inner = unsafe child {
            switch unsafe inner.pointee.type {
            case XML_ELEMENT_NODE: children.append(.element(try unsafe XMLElement(inner)))
            case XML_TEXT_NODE, XML_CDATA_SECTION_NODE:
                children.append(.text(unsafe inner.pointee.content.map { unsafe String(cString: $0) } ?? ""))
            case XML_ENTITY_REF_NODE: throw XMLError("the document refers to an entity of its own")
            default: break
            }
            unsafe child = inner.pointee.next
        }
    }

    private func node(in tree: xmlDocPtr) -> xmlNodePtr? {
        guard let node = unsafe xmlNewDocNode(tree, nil, name, nil) else { return nil }
        for attribute in attributes { unsafe xmlNewProp(node, attribute.name, attribute.value) }
        for child in children {
            let inner =
                switch child {
                case .element(let element): unsafe element.node(in: tree)
                case .text(let text): unsafe xmlNewDocText(tree, text)
                }
            if let inner = unsafe inner { unsafe xmlAddChild(node, inner) }
        }
        return unsafe node
    }

    private static func name(_ name: UnsafePointer<xmlChar>?, _ space: UnsafeMutablePointer<xmlNs>?) -> String {
        let plain = unsafe name.map { unsafe String(cString: $0) } ?? ""
        guard let prefix = unsafe space?.pointee.prefix else { return plain }
        return unsafe String(cString: prefix) + ":" + plain
    }

    private static let prepared: Void = xmlInitParser()

    private static func prepareLibrary() { _ = prepared }
}

private let flags = Int32(XML_PARSE_NONET.rawValue | XML_PARSE_NOERROR.rawValue | XML_PARSE_NOWARNING.rawValue)

/// Why a text is no XML document.
package struct XMLError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What is wrong.
    package let description: String

    init(_ description: String) { self.description = description }

    /// What libxml2 says last on this thread.
    init(last: Void) {
        guard let error = unsafe xmlGetLastError(), let message = unsafe error.pointee.message else {
            self.init("no XML document")
            return
        }
        let line = unsafe error.pointee.line
        let text = unsafe String(cString: message).split(separator: "\n").first.map(String.init) ?? "no XML"
        self.init("line \(line): \(text)")
    }
}

#endif
