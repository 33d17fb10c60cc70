// People in pictures as JSON, one line for each picture.
#include <rtmpose.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <limits>

#include "picture.hpp"

namespace {

const char* const kUsage =
    "usage: rtmpose-cpp ARTIFACT PICTURE... [--box X1 Y1 X2 Y2]... [--threads N] [--runs N]\n"
    "ARTIFACT: from rtmpose-export --end2end. --box: the persons, for a pose artifact. --runs: time it,\n"
    "after 50 runs of warming up, against the engine's bare call.";

struct Arguments {
    std::string artifact;
    std::vector<std::string> pictures;
    std::vector<rtmpose::Box> boxes;
    int threads = 0, runs = 0;
};

double number(int count, char** words, int at) {
    char* end = nullptr;
    const double value = at < count ? std::strtod(words[at], &end) : 0;
    if (at >= count || end == words[at] || *end != '\0') throw rtmpose::Error(kUsage);
    // JSON has no nan and no inf, and what is larger is one as a float.
    if (!(std::fabs(value) <= static_cast<double>(std::numeric_limits<float>::max())))
        throw rtmpose::Error(std::string("'") + words[at] + "' is not a number here; expected a finite one");
    return value;
}

int whole(int count, char** words, int at) {
    const double value = number(count, words, at);
    if (value != std::floor(value) || value < 0 || value > 1e6)
        throw rtmpose::Error(std::string(words[at - 1]) + " '" + words[at] + "'; expected a whole number from 0");
    return static_cast<int>(value);
}

Arguments parse(int count, char** words) {
    Arguments found;
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        if (word == "--threads") {
            found.threads = whole(count, words, ++i);
        } else if (word == "--runs") {
            found.runs = whole(count, words, ++i);
        } else if (word == "--box") {
            float sides[4];
            for (float& side : sides) side = static_cast<float>(number(count, words, ++i));
            found.boxes.push_back({sides[0], sides[1], sides[2], sides[3]});
        } else if (word.rfind("--", 0) == 0) {
            throw rtmpose::Error(kUsage);
        } else if (found.artifact.empty()) {
            found.artifact = word;
        } else {
            found.pictures.push_back(word);
        }
    }
    if (found.pictures.empty()) throw rtmpose::Error(kUsage);
    return found;
}

// The model refuses boxes that it does not take, and their absence where it needs them.
std::vector<rtmpose::Person> look(rtmpose::Model& model, const Picture& picture, const Arguments& arguments) {
    const std::uint8_t* bgr = picture.bgr.data();
    if (arguments.boxes.empty()) return model(bgr, picture.height, picture.width);
    return model(bgr, picture.height, picture.width, arguments.boxes);
}

void print(const std::string& file, const std::vector<rtmpose::Person>& people) {
    std::string escaped;
    for (const char c : file) {
        const unsigned code = static_cast<unsigned char>(c);
        char text[8];
        std::snprintf(text, sizeof text, "\\u%04x", code);
        escaped += code < ' ' || c == '"' || c == '\\' ? std::string(text) : std::string(1, c);
    }
    std::printf("{\"picture\": \"%s\", \"people\": [", escaped.c_str());
    for (std::size_t i = 0; i < people.size(); ++i) {
        const auto& [box, score, keypoints] = people[i];
        std::printf("%s{\"box\": [%.3f, %.3f, %.3f, %.3f], \"score\": %.5f, \"keypoints\": [", i ? ", " : "", box.x1,
                    box.y1, box.x2, box.y2, score);
        for (std::size_t k = 0; k < keypoints.size(); ++k)
            std::printf("%s[%.3f, %.3f, %.5f, %.5f]", k ? ", " : "", keypoints[k].x, keypoints[k].y,
                        keypoints[k].score, keypoints[k].confidence);
        std::printf("]}");
    }
    std::printf("]}\n");
}

template <typename Action>
double milliseconds(const Action& action) {
    const auto start = std::chrono::steady_clock::now();
    action();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
}

// The program against the engine's own call on the same artifact, turn by turn.
void time_it(rtmpose::Model& model, const Picture& picture, const Arguments& arguments) {
    const auto bare = rtmpose::detail::open_engine(arguments.artifact, arguments.threads);
    const auto* boxes = model.kind() == "pose" ? &arguments.boxes : nullptr;
    const std::size_t height = static_cast<std::size_t>(picture.height), width = static_cast<std::size_t>(picture.width);
    std::vector<double> ours, engine;
    for (int turn = -50; turn < arguments.runs; ++turn) {
        const double first = milliseconds([&] { look(model, picture, arguments); });
        const double second = milliseconds([&] { bare->call(picture.bgr.data(), height, width, boxes); });
        if (turn >= 0) ours.push_back(first), engine.push_back(second);
    }
    std::fprintf(stderr, "%.2f ms, bare engine %.2f ms, ratio %.3f (median of %d runs)\n", median(ours),
                 median(engine), median(ours) / median(engine), arguments.runs);
}

}  // namespace

int main(int count, char** words) {
    try {
        if (count == 2 && words[1] == std::string("--help")) return std::puts(kUsage) < 0;
        const Arguments arguments = parse(count, words);
        rtmpose::Model model(arguments.artifact, arguments.threads);
        for (const std::string& file : arguments.pictures) {
            const Picture picture = read_picture(file);
            print(file, look(model, picture, arguments));
            if (arguments.runs > 0) time_it(model, picture, arguments);
        }
        if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
            throw rtmpose::Error("standard output cannot be written; is the disk full?");
    } catch (const std::exception& error) {
        std::cerr << "error: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
