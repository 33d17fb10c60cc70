// RTMPose in C++: one header, one end2end artifact of `rtmpose-export --end2end`, one engine.
//
//   rtmpose::Model model("pipeline.onnx");
//   for (const rtmpose::Person& person : model(bgr, height, width)) { ... }
//
// Define RTMPOSE_OPENVINO or RTMPOSE_ONNXRUNTIME; the CMake target rtmpose::rtmpose does.
// Every failure is an rtmpose::Error. A Model serves one thread at a time; make one for each thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#if defined(RTMPOSE_OPENVINO)
#include <openvino/openvino.hpp>
#elif defined(RTMPOSE_ONNXRUNTIME)
#include <onnxruntime_cxx_api.h>
#else
#error "define RTMPOSE_OPENVINO or RTMPOSE_ONNXRUNTIME: which engine runs the artifact?"
#endif

namespace rtmpose {

// What went wrong, what was expected, what to do.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// px of the picture.
struct Box {
    float x1, y1, x2, y2;
};

// px of the picture; score is unbounded, confidence is 0...1.
struct Keypoint {
    float x, y, score, confidence;
};

// Nobody's keypoints are empty where the artifact is a detector.
struct Person {
    Box box;
    float score;
    std::vector<Keypoint> keypoints;
};

namespace detail {

struct Output {
    std::vector<std::size_t> shape;
    std::vector<float> values;
};
using Outputs = std::map<std::string, Output>;

// What an engine must do; the rest of this header knows no engine.
class Engine {
public:
    virtual ~Engine() = default;
    virtual std::string metadata(const std::string& key) const = 0;  // "" where there is none
    // The engine's call alone. bgr: height * width * 3 bytes; boxes: null where the artifact takes none.
    virtual void call(const std::uint8_t* bgr, std::size_t height, std::size_t width,
                      const std::vector<Box>* boxes) = 0;
    // What the last call gave.
    virtual Outputs outputs() = 0;
};

std::unique_ptr<Engine> open_engine(const std::string& file, int threads);

[[noreturn]] inline void damaged(const std::string& metadata) {
    throw Error("the artifact's metadata is damaged; export it again: " + metadata);
}

// What stands behind a backslash in a JSON string, as UTF-8; `at` moves behind it.
inline std::string unescaped(const std::string& json, std::size_t& at) {
    const char kind = json.at(at++);
    const std::size_t known = std::string("bfnrt").find(kind);
    if (known != std::string::npos) return {"\b\f\n\r\t"[known]};
    if (kind != 'u') return {kind};
    const unsigned code = static_cast<unsigned>(std::stoul(json.substr(at, 4), nullptr, 16));
    at += 4;
    const auto byte = [](unsigned bits) { return static_cast<char>(bits); };
    if (code < 0x80) return {byte(code)};
    if (code < 0x800) return {byte(0xC0 | code >> 6), byte(0x80 | (code & 0x3F))};
    return {byte(0xE0 | code >> 12), byte(0x80 | (code >> 6 & 0x3F)), byte(0x80 | (code & 0x3F))};
}

// Strings of a JSON list of strings.
inline std::vector<std::string> strings_of(const std::string& json) {
    std::vector<std::string> found;
    try {
        for (std::size_t at = json.find('"'); at != std::string::npos; at = json.find('"', at)) {
            std::string text;
            for (char read = json.at(++at); read != '"'; read = json.at(at)) {
                ++at;
                text += read == '\\' ? unescaped(json, at) : std::string(1, read);
            }
            found.push_back(text);
            ++at;
        }
    } catch (const std::logic_error&) {  // it ends too early, or a code is none
        damaged(json);
    }
    return found;
}

// Pairs of a JSON list of lists of two whole numbers.
inline std::vector<std::pair<int, int>> pairs_of(const std::string& json) {
    std::vector<int> numbers;
    for (std::size_t at = 0; at < json.size();) {
        if (json[at] >= '0' && json[at] <= '9') {
            std::size_t read = 0;
            numbers.push_back(std::stoi(json.substr(at, 9), &read));
            at += read;
        } else {
            ++at;
        }
    }
    if (numbers.size() % 2 != 0) damaged(json);
    std::vector<std::pair<int, int>> found;
    for (std::size_t i = 0; i < numbers.size(); i += 2) found.emplace_back(numbers[i], numbers[i + 1]);
    return found;
}

}  // namespace detail

// An end2end artifact, ready to run.
class Model {
public:
    // file: of `rtmpose-export --end2end`; threads: 0 leaves the number to the engine.
    explicit Model(const std::string& file, int threads = 0) : file_(file) {
        const std::string advice = "; make one: rtmpose-export --end2end pipeline --weights MODEL --out pipeline.onnx";
        if (threads < 0) throw Error("threads is " + std::to_string(threads) + ", expected 0 or more");
        if (!std::ifstream(file)) throw Error(file + ": no such file, or it cannot be read" + advice);
        guard(" cannot be loaded; if it is damaged, copy or export it again. ", [&] {
            engine_ = detail::open_engine(file, threads);
            kind_ = engine_->metadata("rtmpose_end2end");
        });
        if (kind_ != "pose" && kind_ != "detector" && kind_ != "pipeline")
            throw Error(file + " is no end2end artifact" + advice);
        names_ = detail::strings_of(engine_->metadata("keypoint_names"));
        skeleton_ = detail::pairs_of(engine_->metadata("skeleton"));
        for (const auto& [from, to] : skeleton_)
            if (static_cast<std::size_t>(std::max(from, to)) >= names_.size())
                detail::damaged(engine_->metadata("skeleton"));
    }

    // "pose", "detector" or "pipeline".
    const std::string& kind() const { return kind_; }
    // Names of the keypoints, in order; none of a detector.
    const std::vector<std::string>& keypoint_names() const { return names_; }
    // Pairs of keypoints to draw lines between.
    const std::vector<std::pair<int, int>>& skeleton() const { return skeleton_; }

    // Everybody in a picture, best first (detector, pipeline).
    // bgr: rows of width * 3 bytes; stride: bytes from row to row, 0 where nothing lies between.
    std::vector<Person> operator()(const std::uint8_t* bgr, int height, int width, std::size_t stride = 0) {
        if (kind_ == "pose") throw Error(file_ + " needs the persons' boxes: it is an end2end pose artifact");
        return run(bgr, height, width, stride, nullptr);
    }

    // The persons in these boxes, in order (pose). A box that is none (NaN, empty, outside) has zeros.
    std::vector<Person> operator()(const std::uint8_t* bgr, int height, int width, const std::vector<Box>& boxes,
                                   std::size_t stride = 0) {
        if (kind_ != "pose") throw Error(file_ + " takes no boxes: it is an end2end " + kind_ + " artifact");
        return run(bgr, height, width, stride, &boxes);
    }

private:
    std::vector<Person> run(const std::uint8_t* bgr, int height, int width, std::size_t stride,
                            const std::vector<Box>* boxes) {
        if (bgr == nullptr || height < 1 || width < 1)
            throw Error("a picture of " + std::to_string(width) + "x" + std::to_string(height) +
                        " px; expected at least 1x1 and its bytes");
        const std::size_t rows = static_cast<std::size_t>(height), row = static_cast<std::size_t>(width) * 3;
        if (stride != 0 && stride < row)
            throw Error("stride is " + std::to_string(stride) + " bytes; expected at least " + std::to_string(row));
        std::vector<std::uint8_t> packed;
        if (stride > row) {
            packed.resize(rows * row);
            for (std::size_t y = 0; y < rows; ++y) std::memcpy(&packed[y * row], bgr + y * stride, row);
            bgr = packed.data();
        }
        detail::Outputs found;
        guard(": ", [&] {
            engine_->call(bgr, rows, row / 3, boxes);
            found = engine_->outputs();
        });
        return boxes == nullptr ? people(found, get(found, "boxes"), &get(found, "box_scores"))
                                : people(found, given(*boxes), nullptr);
    }

    // The engine's errors become ours.
    template <typename Action>
    void guard(const char* failed, const Action& action) const {
        try {
            action();
        } catch (const std::exception& error) {
            const std::string said = error.what();
            throw Error(file_ + failed + "The engine says: " + said.substr(0, said.find_last_not_of(" \n") + 1));
        }
    }

    static detail::Output given(const std::vector<Box>& boxes) {
        detail::Output output{{boxes.size(), 4}, {}};
        for (const Box& box : boxes) output.values.insert(output.values.end(), {box.x1, box.y1, box.x2, box.y2});
        return output;
    }

    std::vector<Person> people(const detail::Outputs& found, const detail::Output& boxes,
                               const detail::Output* scores) const {
        std::vector<Person> people(boxes.values.size() / 4);
        for (std::size_t i = 0; i < people.size(); ++i) {
            const float* box = &boxes.values[4 * i];
            people[i].box = {box[0], box[1], box[2], box[3]};
            people[i].score = scores == nullptr ? 1.0F : scores->values.at(i);
        }
        if (kind_ == "detector") return people;
        const auto &points = get(found, "keypoints"), &peaks = get(found, "scores"),
                   &confidences = get(found, "confidences");
        const std::size_t count = names_.size();
        const std::vector<std::size_t> shape{people.size(), count};
        if (peaks.shape != shape || confidences.shape != shape || points.values.size() != 2 * peaks.values.size())
            throw Error(file_ + " gives another number of keypoints than the " + std::to_string(count) +
                        " that its metadata names; export it again");
        for (std::size_t i = 0; i < people.size(); ++i) {
            people[i].keypoints.reserve(count);
            for (std::size_t k = i * count; k < (i + 1) * count; ++k)
                people[i].keypoints.push_back(
                    {points.values[2 * k], points.values[2 * k + 1], peaks.values[k], confidences.values[k]});
        }
        return people;
    }

    const detail::Output& get(const detail::Outputs& found, const std::string& name) const {
        const auto place = found.find(name);
        if (place == found.end()) throw Error(file_ + " gives no output '" + name + "'; export it again");
        return place->second;
    }

    std::string file_, kind_;
    std::vector<std::string> names_;
    std::vector<std::pair<int, int>> skeleton_;
    std::unique_ptr<detail::Engine> engine_;
};

}  // namespace rtmpose

#if defined(RTMPOSE_OPENVINO)
#include "rtmpose_openvino.hpp"
#else
#include "rtmpose_onnxruntime.hpp"
#endif
