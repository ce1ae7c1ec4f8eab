#if Libvirt
import Testing

@testable import LibvirtBackend

@Suite struct XMLElementTests {
    @Test(arguments: ["plain", "<&>\"'", "a\nb", "]]>", "Grüße", "&amp;"])
    func valuesAreEscaped(value: String) throws {
        var element = XMLElement("name", text: value)
        element["kind"] = value
        let read = try XMLElement(parsing: element.text)
        #expect(read.content == value)
        #expect(read["kind"] == value)
        #expect(read == element)
    }

    @Test func aDescriptionIsReadAndWritten() throws {
        let text = """
            <domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>a</name>
              <devices><memory model='dimm'><address type='dimm' slot='0' base='0x100000000'/></memory><memory/></devices>
              <qemu:commandline><qemu:arg value='-x'/></qemu:commandline></domain>
            """
        let element = try XMLElement(parsing: text)
        #expect(element["type"] == "qemu")
        #expect(element.first("devices", "memory", "address")?["base"] == "0x100000000")
        #expect(element.first("devices")?.elements("memory").count == 2)
        #expect(element.first("qemu:commandline", "qemu:arg")?["value"] == "-x")
        #expect(try XMLElement(parsing: element.text) == element)
    }

    @Test(arguments: ["", "<a>", "<a></b>", "no", "<a b=c/>"])
    func whatIsNoDocumentIsAnError(text: String) {
        #expect(throws: XMLError.self) { try XMLElement(parsing: text) }
    }

    @Test func anEntityIsNotExpanded() {
        let text = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>"
        #expect(throws: XMLError.self) { try XMLElement(parsing: text) }
    }

    @Test func depthIsBounded() {
        let text = String(repeating: "<a>", count: 100_000) + String(repeating: "</a>", count: 100_000)
        #expect(throws: XMLError.self) { try XMLElement(parsing: text) }
    }
}

#endif
