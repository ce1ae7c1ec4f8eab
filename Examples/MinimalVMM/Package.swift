// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "minimal-vmm",
    dependencies: [
        // Outside of this repository: .package(url: "https://github.com/…/custody", from: "0.1.0")
        .package(name: "custody", path: "../..")
    ],
    targets: [
        .executableTarget(
            name: "MinimalVMM",
            dependencies: [
                .product(name: "Custody", package: "custody"),
                .product(name: "CustodyConfiguration", package: "custody"),
                .product(name: "CustodyPolicy", package: "custody"),
                .product(name: "KVMBackend", package: "custody"),
                .product(name: "SimulationBackend", package: "custody"),
            ]
        )
    ]
)
