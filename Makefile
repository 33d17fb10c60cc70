# Both targets set everything up on a machine that has Python >= 3.10 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SOURCES := pyproject.toml $(shell find rtmpose_sdk runtimes models exporters training benchmarks -type f \
	-not -path '*/__pycache__/*')

.PHONY: demo test test-arm test-bf16 test-cpp test-devices test-devices-arm devices-needs test-web test-vulkan test-oldest test-python lint types tests clean

demo: $(VENV)/.demo
	$(BIN)/rtmpose predict rtmpose_sdk/data/astronaut.jpg --detection-threshold 0.5 --out demo-out --overwrite
	@echo "The picture is $(CURDIR)/demo-out/astronaut.jpg"

test: lint types tests

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# From an empty folder: the rooms are mapped, so only the installed copy is whole.
types: $(VENV)/.test
	mkdir -p build/empty
	cd build/empty && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p rtmpose_sdk

tests: $(VENV)/.test
	$(BIN)/pytest -n auto

# Keypoints on an emulated ARM processor, in every precision that ncnn has there.
CROPS ?= 10
test-arm: $(VENV)/.test
	tests/arm/setup.sh build/arm $(BIN)/python
	RTMPOSE_ARM_CROPS=$(CROPS) $(BIN)/pytest -n 2 -rP tests/arm

# OpenVINO's bf16 on an emulated processor with AVX-512: minutes to boot, then some 15 seconds a crop.
BF16_CROPS ?= 20
test-bf16: $(VENV)/.test
	tests/need.sh bochs=bochs /usr/share/bochs=bochsbios /usr/share/vgabios=vgabios xorriso=xorriso cpio=cpio busybox=busybox-static \
		/usr/lib/ISOLINUX=isolinux /usr/lib/syslinux/modules/bios=syslinux-common dpkg-deb=dpkg
	tests/bf16/kernel.sh build/bf16
	RTMPOSE_BF16_KERNEL=$(CURDIR)/build/bf16/kernel RTMPOSE_BF16_CROPS=$(BF16_CROPS) $(BIN)/pytest -n 0 -rP tests/bf16

# The C++ example on both engines, with sanitizers, against Python.
test-cpp: $(VENV)/.test
	tests/need.sh cmake=cmake make=make g++=g++ curl=curl dpkg-deb=dpkg
	tests/cpp/onnxruntime.sh build/onnxruntime-cpp $(BIN)/python
	RTMPOSE_TEST_CPP=1 RTMPOSE_ONNXRUNTIME_CPP=$(CURDIR)/build/onnxruntime-cpp/usr \
		$(BIN)/pytest -n 2 --dist loadgroup -rP tests/cpp

# A window on a screen, --device ssh against an sshd of our own, --device adb against a stand-in that runs the native program of this machine.
test-devices: $(VENV)/.test devices-needs
	tests/need.sh cmake=cmake make=make g++=g++ curl=curl
	benchmarks/native/build.sh build/native host
	RTMPOSE_NATIVE=$(CURDIR)/build/native/host/rtmpose-native $(BIN)/pytest -n 0 -rP tests/devices

# The same with the program for ARM, in QEMU. Building ncnn takes minutes; build/native keeps it.
test-devices-arm: $(VENV)/.test devices-needs
	tests/need.sh cmake=cmake make=make aarch64-linux-gnu-g++=g++-aarch64-linux-gnu \
		qemu-aarch64-static=qemu-user-static curl=curl
	benchmarks/native/build.sh build/native aarch64-linux-gnu
	RTMPOSE_NATIVE=$(CURDIR)/build/native/aarch64-linux-gnu/rtmpose-native $(BIN)/pytest -n 0 -rP tests/devices

# sshd started by root wants its folder, which the system's own service would make.
devices-needs:
	tests/need.sh /usr/sbin/sshd=openssh-server ssh=openssh-client Xvfb=xvfb
	[ "$$(id -u)" -ne 0 ] || mkdir -p /run/sshd

# The browser page in headless Chromium and the programs of docs/embed.md, against Python.
test-web: $(VENV)/.test
	tests/need.sh node=nodejs npm=npm chromium=chromium
	RTMPOSE_TEST_WEB=1 $(BIN)/pytest -n 0 -rP tests/web tests/embed

# ncnn through Vulkan. Without a GPU, on Mesa's driver in software.
test-vulkan: $(VENV)/.test
	tests/need.sh /usr/share/vulkan/icd.d=mesa-vulkan-drivers
	RTMPOSE_TEST_VULKAN=1 $(BIN)/pytest -n 0 -rP tests/vulkan

# What needs no torch, in an environment of its own: $(1) its folder, $(2) its Python, $(3) options of pip.
TORCHLESS := cpu eval video tables plot mpii
comma := ,
define torchless
	rm -rf $(1)
	$(2) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check $(3) \
		'.[$(subst $() ,$(comma),$(TORCHLESS))]' 'pytest>=8' 'pytest-xdist>=3.6' 'hypothesis>=6'
	$(1)/bin/pytest -n auto tests/sdk
endef

# With the oldest versions that pyproject.toml allows, on the oldest Python: make test-oldest OTHER=python3.10
test-oldest: OTHER ?= $(BIN)/python
test-oldest: $(VENV)/.test
	mkdir -p build
	$(BIN)/python tests/oldest.py $(TORCHLESS) > build/oldest.txt
	$(call torchless,build/oldest,$(OTHER),-c build/oldest.txt)

# With another Python: make test-python OTHER=python3.13
test-python:
	$(call torchless,build/$(OTHER),$(OTHER),)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python $(SOURCES)
	$(PIP) '.[cpu]'
	$(PIP) --no-deps --force-reinstall .
	touch $@

$(VENV)/.test: $(VENV)/.demo constraints.txt
	$(PIP) -c constraints.txt '.[cpu,export,eval,train,openvino,ncnn,int8,tensorrt-rtx,video,tables,plot,dev]'
	$(PIP) -c constraints.txt ai-edge-litert
	$(PIP) -c constraints.txt --no-deps rtmlib mmdeploy-runtime tqdm  # rtmlib asks for a second OpenCV
	$(PIP) --no-deps --force-reinstall .
	touch $@

clean:
	rm -rf $(VENV) build dist demo-out *.egg-info
