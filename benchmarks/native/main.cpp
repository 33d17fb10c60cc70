// How long does a network take on this device? ncnn's own, warm-up and measured runs, one picture.
//
//   rtmpose-native --model M.param --input INPUT.f32 --out FOLDER
//                  [--precision fp32] [--threads 1] [--warm-up 50] [--runs 200]
//
// INPUT.f32 holds one normalised tensor (channels, height, width), float32, as the model's Input layer says.
// FOLDER gets report.json (times in ns) and NAME.f32, the outputs of the last run. M.bin lies beside M.param.

#include <cpu.h>
#include <net.h>
#include <platform.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Wish {
    std::string model, input, out, precision;
    int threads = 1, warm_up = 50, runs = 200;
};

struct Shape {
    int width = 0, height = 0, channels = 0;
    bool has_int8 = false;
};

struct Output {
    std::string name;
    std::vector<int> shape;
    std::vector<float> values;
};

[[noreturn]] void fail(const std::string& text) { throw std::runtime_error(text); }

int number(const std::string& name, const std::string& text, int least) {
    char* end = nullptr;
    const long value = std::strtol(text.c_str(), &end, 10);
    if (text.empty() || *end != '\0' || value < least || value > 1000000)
        fail(name + " " + text + "; expected a whole number from " + std::to_string(least));
    return static_cast<int>(value);
}

Wish read_wish(int count, char** words) {
    Wish wish;
    std::map<std::string, std::string> found;
    for (int i = 1; i + 1 < count; i += 2) found[words[i]] = words[i + 1];
    if (count % 2 == 0) fail(std::string(words[count - 1]) + " has no value");
    for (const auto& [name, value] : found) {
        if (name == "--model") wish.model = value;
        else if (name == "--input") wish.input = value;
        else if (name == "--out") wish.out = value;
        else if (name == "--precision") wish.precision = value;
        else if (name == "--threads") wish.threads = number(name, value, 1);
        else if (name == "--warm-up") wish.warm_up = number(name, value, 0);
        else if (name == "--runs") wish.runs = number(name, value, 1);
        else fail("no option " + name);
    }
    if (wish.model.empty() || wish.input.empty() || wish.out.empty())
        fail("--model, --input and --out have to be given");
    return wish;
}

// The value of "KEY=VALUE" in a layer's line; "0" where it is left out.
std::string term(const std::string& line, const std::string& key) {
    std::istringstream words(line);
    for (std::string word; words >> word;)
        if (word.rfind(key + "=", 0) == 0) return word.substr(key.size() + 1);
    return "0";
}

Shape read_shape(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    if (!std::getline(file, line) || line.rfind("7767517", 0) != 0)
        fail(path + ": not an ncnn .param file");
    const std::map<std::string, std::string> int8_terms = {
        {"Convolution", "8"}, {"ConvolutionDepthWise", "8"}, {"InnerProduct", "8"}, {"Gemm", "18"}};
    Shape shape;
    while (std::getline(file, line)) {
        std::string kind;
        std::istringstream(line) >> kind;
        if (kind == "Input") {
            shape.width = std::atoi(term(line, "0").c_str());
            shape.height = std::atoi(term(line, "1").c_str());
            shape.channels = std::atoi(term(line, "2").c_str());
        }
        const auto found = int8_terms.find(kind);
        if (found != int8_terms.end() && term(line, found->second) != "0") shape.has_int8 = true;
    }
    if (shape.width < 1 || shape.height < 1 || shape.channels < 1)
        fail(path + ": its Input layer has no size; export it with rtmpose-export");
    return shape;
}

std::vector<float> read_input(const std::string& path, const Shape& shape) {
    const size_t count = static_cast<size_t>(shape.width) * shape.height * shape.channels;
    std::vector<float> values(count);
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) fail(path + ": cannot be read");
    const auto size = static_cast<size_t>(file.tellg());
    if (size != count * sizeof(float))
        fail(path + ": " + std::to_string(size) + " bytes; the model takes " +
             std::to_string(count * sizeof(float)));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(size));
    return values;
}

// What each precision switches on; all others are off, whatever ncnn's default is.
void set_precision(ncnn::Option& option, const std::string& precision) {
    const bool half = precision == "fp16" || precision == "fp16-storage";
    option.use_fp16_packed = option.use_fp16_storage = half;
    option.use_fp16_arithmetic = precision == "fp16";
    option.use_bf16_packed = option.use_bf16_storage = precision == "bf16";
    option.use_int8_inference = option.use_int8_packed = precision == "int8";
    option.use_int8_storage = option.use_int8_arithmetic = precision == "int8";
}

void load(ncnn::Net& net, const Wish& wish, const std::string& precision) {
    set_precision(net.opt, precision);
    net.opt.num_threads = wish.threads;
    const std::string weights = wish.model.substr(0, wish.model.rfind('.')) + ".bin";
    if (net.load_param(wish.model.c_str()) != 0)
        fail(wish.model + ": ncnn " NCNN_VERSION_STRING " cannot read it, or lacks one of its layers");
    if (net.load_model(weights.c_str()) != 0) fail(weights + ": missing, damaged or cut short");
    if (net.input_names().size() != 1) fail(wish.model + ": expected one input");
}

// One run, as an application does it; the outputs stay in ncnn's memory.
std::vector<ncnn::Mat> run(const ncnn::Net& net, const ncnn::Mat& input) {
    ncnn::Extractor extractor = net.create_extractor();
    int status = extractor.input(net.input_names()[0], input);
    std::vector<ncnn::Mat> found(net.output_names().size());
    for (size_t i = 0; i < found.size() && status == 0; ++i)
        status = extractor.extract(net.output_names()[i], found[i]);
    if (status != 0) fail("a run failed, code " + std::to_string(status) + " (-100: out of memory)");
    return found;
}

std::vector<Output> copied(const ncnn::Net& net, const std::vector<ncnn::Mat>& mats) {
    std::vector<Output> outputs;
    for (size_t i = 0; i < mats.size(); ++i) {
        const ncnn::Mat& mat = mats[i];
        if (mat.dims > 3 || mat.elemsize != sizeof(float)) fail("an output is not float32 of 1 to 3 axes");
        Output output{net.output_names()[i], {mat.w}, {}};
        if (mat.dims > 1) output.shape.insert(output.shape.begin(), mat.h);
        if (mat.dims > 2) output.shape.insert(output.shape.begin(), mat.c);
        for (int c = 0; c < mat.c; ++c) {  // channels are padded to whole cache lines
            const float* first = mat.channel(c);
            output.values.insert(output.values.end(), first, first + static_cast<size_t>(mat.w) * mat.h);
        }
        outputs.push_back(std::move(output));
    }
    return outputs;
}

// Where a device lacks a precision, ncnn computes in a higher one without a word.
void check_precision(const Wish& wish, const std::string& precision, const ncnn::Mat& input,
                     const std::vector<Output>& outputs) {
    const std::map<std::string, std::string> higher = {
        {"fp16-storage", "fp32"}, {"fp16", "fp16-storage"}, {"bf16", "fp32"}};
    const auto next = higher.find(precision);
    if (next == higher.end()) return;
    ncnn::Net net;
    load(net, wish, next->second);
    const std::vector<Output> other = copied(net, run(net, input));
    for (size_t i = 0; i < outputs.size(); ++i)
        if (outputs[i].values.size() != other[i].values.size() ||
            std::memcmp(outputs[i].values.data(), other[i].values.data(),
                        outputs[i].values.size() * sizeof(float)) != 0)
            return;
    fail("precision '" + precision + "' was asked for, but this processor computes in " + next->second +
         " then: the outputs are the very same");
}

std::string choose_precision(const Wish& wish, const Shape& shape) {
    const std::vector<std::string> known = {"fp32", "fp16-storage", "fp16", "bf16", "int8"};
    const std::string precision =
        wish.precision.empty() ? (shape.has_int8 ? "int8" : "fp32") : wish.precision;
    if (std::find(known.begin(), known.end(), precision) == known.end())
        fail("precision '" + precision + "'; expected fp32, fp16-storage, fp16, bf16 or int8");
    if ((precision == "int8") != shape.has_int8)
        fail("precision '" + precision + "' was asked for, but the model has " +
             (shape.has_int8 ? "int8 layers, which run in nothing else" : "no int8 layers"));
    return precision;
}

int64_t now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

int64_t processor_time() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<int64_t>(time.tv_sec) * 1000000000 + time.tv_nsec;
}

template <typename T>
std::string listed(const std::vector<T>& values) {
    std::ostringstream text;
    for (size_t i = 0; i < values.size(); ++i) text << (i ? "," : "") << values[i];
    return "[" + text.str() + "]";
}

void write(const std::string& path, const char* data, size_t size) {
    std::ofstream file(path, std::ios::binary);
    file.write(data, static_cast<std::streamsize>(size));
    file.close();
    if (!file) fail(path + ": cannot be written");
}

void measure(const Wish& wish) {
    const Shape shape = read_shape(wish.model);
    std::vector<float> values = read_input(wish.input, shape);
    const std::string precision = choose_precision(wish, shape);
    const int64_t start = now();
    ncnn::Net net;
    load(net, wish, precision);
    const int64_t loaded = now() - start;

    // ncnn's own layout, with padded channels; not timed: an application fills it in its pre-processing.
    const ncnn::Mat input = ncnn::Mat(shape.width, shape.height, shape.channels, values.data()).clone();
    std::vector<ncnn::Mat> found = run(net, input);
    check_precision(wish, precision, input, copied(net, found));
    std::vector<int64_t> took, used;
    took.reserve(static_cast<size_t>(wish.runs));
    used.reserve(static_cast<size_t>(wish.runs));
    for (int i = 0; i < wish.warm_up + wish.runs; ++i) {
        const int64_t processor = processor_time(), begin = now();
        found = run(net, input);
        const int64_t end = now();
        if (i < wish.warm_up) continue;
        took.push_back(end - begin);
        used.push_back(processor_time() - processor);
    }

    std::ostringstream outputs;
    for (const Output& output : copied(net, found)) {
        write(wish.out + "/" + output.name + ".f32", reinterpret_cast<const char*>(output.values.data()),
              output.values.size() * sizeof(float));
        outputs << (outputs.tellp() > 0 ? "," : "") << "{\"name\":\"" << output.name
                << "\",\"shape\":" << listed(output.shape) << "}";
    }
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const ncnn::Option& option = net.opt;
    std::ostringstream report;
    report << std::boolalpha << "{\"rtmpose_native\":1,\"ncnn\":\"" NCNN_VERSION_STRING "\",\"precision\":\""
           << precision << "\",\"options\":{\"fp16_storage\":" << option.use_fp16_storage
           << ",\"fp16_arithmetic\":" << option.use_fp16_arithmetic
           << ",\"bf16_storage\":" << option.use_bf16_storage << ",\"int8\":" << option.use_int8_inference
           << ",\"packing\":" << option.use_packing_layout << ",\"winograd\":" << option.use_winograd_convolution
           << "},\"threads\":" << wish.threads << ",\"cores\":" << ncnn::get_cpu_count()
           << ",\"big_cores\":" << ncnn::get_big_cpu_count() << ",\"warm_up\":" << wish.warm_up
           << ",\"runs\":" << wish.runs << ",\"load_ns\":" << loaded
           << ",\"peak_memory_kb\":" << usage.ru_maxrss << ",\"outputs\":[" << outputs.str()
           << "],\"ns\":" << listed(took) << ",\"cpu_ns\":" << listed(used) << "}\n";
    const std::string text = report.str();
    write(wish.out + "/report.json", text.data(), text.size());
}

}  // namespace

int main(int count, char** words) {
    try {
        measure(read_wish(count, words));
    } catch (const std::exception& error) {
        std::cerr << "error: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
